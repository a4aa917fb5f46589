"""Groups of a block in which nobody tells the true text, or the true value, from the others without looking. Knows no row of a stage."""
