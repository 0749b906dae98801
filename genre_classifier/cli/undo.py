"""`genre-classifier --undo JOURNAL`: put back the genres that stood in files' tags."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from genre_classifier.cli.extras import need_mutagen
from genre_classifier.cli.results import TagError
from genre_classifier.cli.text import printable

if TYPE_CHECKING:
    from genre_classifier.cli.journal import Change

FAILED = 1
CHANGED_SINCE = "Its genre was changed since, and is left as it is."


def undo(journal: Path, *, quiet: bool) -> int:
    """Put back what a journal has, the latest change first; exit code 1 if any file is left as it is.

    Raises:
        JobError: it is no journal, or mutagen is missing.
    """
    need_mutagen("--undo")
    from genre_classifier.cli.journal import read_changes  # noqa: PLC0415

    changes = list(read_changes(journal))
    done = restored = left = 0
    try:
        for change in tqdm(changes, unit="file", disable=True if quiet else None, leave=False):
            try:
                restored += _restore(change)
            except TagError as error:
                left += 1
                tqdm.write(f"{printable(change.file)}: {error}", file=sys.stderr)
            done += 1
    except KeyboardInterrupt:
        print(f"Interrupted: {done} of {len(changes)} are done; the same call does the rest.", file=sys.stderr)
        raise
    finally:
        if not quiet:
            same = done - restored - left
            print(f"{restored} genres are put back, {same} stood there already, {left} are left.", file=sys.stderr)
    return FAILED if left else 0


def _restore(change: "Change") -> bool:
    """Whether a file's genre had to be put back."""
    from genre_classifier.cli.genre_tags import GenreTags, named  # noqa: PLC0415

    path = Path(change.file)
    if not path.is_file():
        raise TagError("There is no such file any more.")
    tags = GenreTags(path)
    now, before, after = map(named, (tags.genres, change.before, change.after))
    if now == before:  # put back by an earlier undo, or never written
        return False
    if now != after:
        raise TagError(CHANGED_SINCE)
    tags.change(change.before, lambda: None)
    return True
