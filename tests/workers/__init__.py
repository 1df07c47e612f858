"""The workers' parts, each by itself."""
