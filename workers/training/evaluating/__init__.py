"""Letting a model, or a whole application, answer a labelled set, and telling what was right of it."""
