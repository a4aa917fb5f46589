"""Ray under a run: started here or joined, what it holds, what travels to its nodes, and who may ask it."""
