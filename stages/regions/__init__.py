"""Boxes and crops: evidence for a detection, what a model is shown of a region."""
