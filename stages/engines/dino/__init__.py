"""Detectors of the Grounding DINO family: by transformers, and by groundingdino-py in an environment of its own."""
