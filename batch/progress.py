"""How far a run is, and what it did."""

import sys
from time import monotonic
from types import TracebackType
from typing import Self

from tqdm import tqdm

from batch.worker import Counts

LINE_SECONDS = 30.0  # between two lines where there is no terminal


class Progress:
    """A bar on a terminal, else a line every half minute: files, rate and what remains."""

    def __init__(self, total: int) -> None:
        """`total` is the number of files to do."""
        self._total, self._done = total, 0
        self._begin = self._said = monotonic()
        self._bar = tqdm(total=total, unit="file", disable=not sys.stderr.isatty(), leave=False)

    @property
    def seconds(self) -> float:
        """Since the begin."""
        return monotonic() - self._begin

    def add(self, files: int = 1) -> None:
        """So many more files are done."""
        self._done += files
        self._bar.update(files)
        if self._bar.disable and monotonic() - self._said >= LINE_SECONDS and self._done:
            self._said = monotonic()
            rate = self._done / self.seconds
            minutes = (self._total - self._done) / rate / 60
            print(
                f"{self._done} of {self._total} files, {rate:.1f} a second, {minutes:.0f} minutes remain.",
                file=sys.stderr,
                flush=True,
            )

    def say(self, words: str) -> None:
        """Say something on standard error, past the bar."""
        self._bar.write(words, file=sys.stderr)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def say_summary(counts: Counts, failures: int, seconds: float) -> None:
    """Say in a few lines what was done."""
    errors = ", ".join(f"{count} {kind}" for kind, count in counts.errors.most_common()) or "none"
    print(f"{counts.rows} rows in {seconds:.1f} seconds; errors: {errors}.")
    print(
        f"{counts.music_seconds / 3600:.1f} hours of music, {counts.chunks / max(seconds, 1e-9):.1f} chunks a second."
    )
    if failures:
        print(f"{failures} parts could not be written: the same command tries them again.", file=sys.stderr)
