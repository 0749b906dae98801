"""Folders of clips as splits of 3-second chunks, and what a network is trained on."""
