"""The spine's statements, against both databases."""
