"""What is watched of a run: how far it is, and whether it still goes on."""
