"""The corpus: what images there are, where their bytes lie, and the units they are cut into."""
