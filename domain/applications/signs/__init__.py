"""Signs: photographs of signs, read and translated, with all that an overlay needs."""
