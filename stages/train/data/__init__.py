"""From exported shards to batches of tensors, in a reproducible order."""
