"""From GTZAN-style folders to a checkpoint."""
