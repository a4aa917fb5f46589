"""Training of the demo's captioner."""
