"""What is said of an indexed image because of a rule of the corpus or of another image: duplicates, benchmarks, sizes."""
