"""A journal of the genres that stood in files' tags, from which they can be put back."""

import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from genre_classifier import __version__
from genre_classifier.cli.genre_tags import Genres
from genre_classifier.cli.results import JobError

PROGRAM = "genre-classifier"
START = '{"journal": "genre tags"'


class Change(NamedTuple):
    """What was changed in one file."""

    file: str
    before: Genres
    after: Genres


class Journal:
    """One line of JSON for each change, on the disk before the file is replaced; a context manager.

    An earlier run's journal is continued, never overwritten. One that this run made, and has no change, is removed.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            JobError: it cannot be written, or holds something else.
        """
        self.path = path
        self.changes = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._is_new = not path.exists()
            is_empty = self._is_new or path.stat().st_size == 0
            if not is_empty and not is_journal(path):
                raise JobError(f"--journal {path} is a file that this program did not write: name another.")
            self._file = path.open("a", encoding="utf-8", errors="surrogateescape")
            if is_empty:
                now = datetime.now().astimezone().isoformat(timespec="seconds")
                self._write({"journal": "genre tags", "program": f"{PROGRAM} {__version__}", "started": now})
            elif not path.read_bytes().endswith(b"\n"):  # as a killed run leaves it
                self._file.write("\n")
        except OSError as error:
            raise JobError(f"The journal {path} cannot be written: {error.strerror}.") from error

    def note(self, change: Change) -> None:
        """Write a change, and wait until it is on the disk.

        Raises:
            OSError: it cannot be written.
        """
        self._write(change._asdict())
        self.changes += 1

    def _write(self, line: dict[str, object]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._is_new and not self.changes and not any(read_changes(self.path)):  # those of another run
            self.path.resolve().unlink(missing_ok=True)


def is_journal(path: Path) -> bool:
    """Whether a file begins as a journal does.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(len(START)) == START.encode()


def read_changes(path: Path) -> Iterator[Change]:
    """The changes in a journal, the latest first; a line that a killed run left unfinished is none.

    Raises:
        JobError: it is no journal, or cannot be read.
    """
    try:
        if not is_journal(path):
            raise JobError(f"{path} is no journal of --write-tags.")
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError as error:
        raise JobError(f"{path} cannot be read: {error.strerror}.") from error
    for line in reversed(lines):
        try:
            yield Change(**json.loads(line))
        except (ValueError, TypeError):  # the first line, or one that is unfinished
            continue


def default_journal(output: Path | None) -> Path:
    """A new name beside the report, or in the user's folder for the state of programs."""
    now = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    if output and (output.is_file() or not output.exists()):
        stem = output.with_name(f"{output.stem}.tags-{now}")
    else:
        stem = _state_folder() / f"tags-{now}"
    numbers = (stem.with_name(f"{stem.name}{ending}.jsonl") for ending in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(path for path in numbers if not path.exists())


def _state_folder() -> Path:
    """By the XDG base directory specification, and where Windows has such a folder."""
    named = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME", "")
    base = Path(named) if os.path.isabs(named) else Path.home() / ".local" / "state"  # noqa: PTH117
    return base / PROGRAM
