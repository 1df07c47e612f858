"""Drawn worlds: pictures whose truth is known because the project drew them."""
