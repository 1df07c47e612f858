"""What a score is: from what is true and what was answered to figures. Nothing here loads or runs a model."""
