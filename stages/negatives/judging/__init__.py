"""What a judge is asked about an image, and what its answers make of the candidates."""
