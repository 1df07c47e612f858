"""Inspection of manufactured parts: defects on surfaces, and a recipe's verdict on the part."""
