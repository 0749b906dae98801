"""What goes wrong in training and is the user's to mend."""


class TrainingError(Exception):
    """A sentence for a person; a command line prints it and exits with 2."""
