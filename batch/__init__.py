"""A library of music, wherever it lies, to Parquet: by shards, on one machine or a Ray cluster."""
