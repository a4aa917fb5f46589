"""Faults, injected one kind after another into small runs of the real command: what is lost, and what the user is told."""
