"""The guards of a job's life: what each one is, how to take it out, and that a test fails then."""
