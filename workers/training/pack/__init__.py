"""The recipes of the embedded pack: how each of its models is made, from drawn worlds alone."""
