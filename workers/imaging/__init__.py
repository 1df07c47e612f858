"""Pixels: what is done to them and what they are turned into, without a model."""
