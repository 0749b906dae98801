"""What goes wrong where results are written."""


class ResultsError(Exception):
    """An output cannot be written or continued; the message is one sentence."""


class TagError(Exception):
    """A file keeps the tags it has; the message is one sentence."""
