"""Content moderation by a policy: what a picture and its text break, what is done about it, and who looks at it."""
