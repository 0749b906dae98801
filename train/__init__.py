"""From folders of clips to a checkpoint."""
