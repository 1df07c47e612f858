"""The application `vision`: any capability as a job of its own, alone or as a chain of steps, without domain rules."""
