"""What a run says at its end: how many files of each genre, what failed, and where things are."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from genre_classifier.cli.text import printable
from genre_classifier.verdict import Verdict

if TYPE_CHECKING:
    from genre_classifier.cli.library_job import LibraryJob
    from genre_classifier.cli.tags import Tags


class Tally:
    """Counts of a run."""

    def __init__(self) -> None:
        """Count from zero."""
        self.genres = Counter[str]()
        self.failures = Counter[str]()
        """Of what could not be done: classified, tagged."""
        self.tags: Tags | None = None
        self._uncertain = 0
        self._files: int | None = None
        self._failed_before = 0

    def begin(self, files: int, failed_before: int) -> None:
        """Note the number of files, and of those that are not tried again."""
        self._files, self._failed_before = files, failed_before

    def add(self, verdict: Verdict) -> None:
        """Count a verdict."""
        self.genres[verdict.genre] += 1
        self._uncertain += verdict.uncertain

    def fail(self, what: str, file: Path, error: Exception) -> None:
        """Count a failure, and tell it."""
        self.failures[what] += 1
        tqdm.write(f"{printable(str(file))}: {error}", file=sys.stderr)

    def say(self, job: "LibraryJob") -> None:
        """Say it on standard error."""
        if self._files is None:  # nothing was begun
            return
        for line in self._lines(job):
            print(line, file=sys.stderr)

    def _lines(self, job: "LibraryJob") -> list[str]:
        lines = []
        done = self.genres.total() + self.failures["classified"]
        if isinstance(sys.exception(), KeyboardInterrupt):
            lines.append(f"Interrupted: {done} files are done.{_kept(job)}")
        for what, count in self.failures.items():
            lines.append(f"{count} of {self._files} files could not be {what}.")
        if job.quiet:
            return lines
        if self._failed_before:
            lines.append(f"{self._failed_before} files failed before: --retry-failed tries them again.")
        if sys.stderr.isatty() and self.genres:
            genres = ", ".join(f"{genre} {count}" for genre, count in self.genres.most_common())
            lines.append(f"{self.genres.total()} files: {genres}; {self._uncertain} of them uncertain.")
        return lines + (self.tags.summary() if self.tags else [])


def _kept(job: "LibraryJob") -> str:
    """Where the results of an interrupted run are, and how it goes on."""
    kept = [str(path) for path in (job.output, job.embeddings) if path]
    if not kept:
        return ""
    goes_on = "" if job.form == "table" or not job.output else "; --skip-existing goes on from there"
    return f" They are in {' and '.join(kept)}{goes_on}."
