"""The exported data set: records, files, statistics, card."""
