"""How good a network is: scores of clips, metrics, plots."""
