"""Drafts of reports on medical images: what is seen, with its evidence, and what a reader has to settle."""
