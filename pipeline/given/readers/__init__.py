"""One file a given format: a source file to records. Checks nothing."""
