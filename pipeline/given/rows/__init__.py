"""One file a stage whose rows can be given: a record to a row, or the reason why it is refused."""
