"""What is done to a unit: the stages, their topic files, the engines and the trainer. No Ray, no paths."""
