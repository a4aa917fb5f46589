"""Given tables: a stage's rows taken from data that the user already holds, matched to images, checked, never repaired."""
