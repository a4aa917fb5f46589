"""`fgdata estimate`: what a run will take, from a sample of its corpus that is run with its own engines."""
