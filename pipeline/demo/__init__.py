"""The embedded default: a procedural corpus with ground truth, small checkpoints trained on it, the score."""
