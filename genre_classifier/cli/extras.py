"""Libraries that an extra brings."""

from importlib.util import find_spec

from genre_classifier.cli.results import JobError


def need_mutagen(option: str) -> None:
    """Check that the library for tags is there.

    Raises:
        JobError: it is not.
    """
    if find_spec("mutagen") is None:
        raise JobError(f'{option} needs mutagen: pip install "genre-classifier[tags]".')
