"""Scripts that time it."""
