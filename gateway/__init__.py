"""What is reached: HTTP, the command, overlays. Imports the storage and the domain, never the workers."""
