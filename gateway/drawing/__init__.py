"""Marks over a picture, drawn with Pillow. Knows shapes and letters, nothing of jobs."""

from gateway.drawing.picture import draw

__all__ = ["draw"]
