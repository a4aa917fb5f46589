"""Training of the demo's detector."""
