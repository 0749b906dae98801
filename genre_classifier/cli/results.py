"""What keeps results, and what goes wrong there."""

from typing import Protocol

from genre_classifier.classifier import Analysis


class Results(Protocol):
    """Something that keeps results."""

    done: frozenset[str]
    """The places of the files that it holds from an earlier run."""

    def write(self, file: str, analysis: Analysis) -> None:
        """Keep one file's results."""


class JobError(Exception):
    """The job cannot begin; the message is one sentence."""


class ResultsError(Exception):
    """An output cannot be written or continued; the message is one sentence."""


class TagError(Exception):
    """A file keeps the tags it has; the message is one sentence."""
