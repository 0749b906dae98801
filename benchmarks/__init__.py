"""Scripts that measure it, and the librosa way of doing the same."""
