"""What lies under corpus.path: where that is, what is there, and how it is counted."""
