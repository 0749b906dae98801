"""The tests, and in support/ what they and the benchmarks share."""
