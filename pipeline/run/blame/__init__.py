"""Whose fault it was: the search for images that end an engine or make a stage raise."""
