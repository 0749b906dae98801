"""Benchmarks of the graph, the service and the command line, and a baseline by librosa and PyTorch."""
