"""One file a panel of the report: which columns it wants, what it counts, what it shows."""
