"""The command line: a library of music to a report, embeddings and tags."""
