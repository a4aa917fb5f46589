"""What one card gives: `python -m bench.gpu`."""
