"""Model families, one file each; `family.py` says what a family must offer. Only this package imports torch & co."""
