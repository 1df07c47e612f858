"""The sub-commands. Results go to stdout, everything else to stderr; importing them loads no web framework."""
