"""The demonstration: the whole system on its embedded defaults, every sample of every application, a report."""
