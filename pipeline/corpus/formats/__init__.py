"""The formats of a corpus: one row of the table and one file each."""
