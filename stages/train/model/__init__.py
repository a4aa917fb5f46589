"""The model, its dense features, its checkpoints."""
