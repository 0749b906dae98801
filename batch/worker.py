"""One process's work: a part's files in, a Parquet file and a few counts out."""

import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batch.fetch import FetchedFile, FetchError, FetchLimits, fetch_files
from batch.parts import Output, part_name
from batch.rows import make_row, schema
from batch.sources import Part
from genre_classifier.audio import AudioError
from genre_classifier.classifier import Analysis, Classifier
from genre_classifier.settings import Settings


@dataclass(frozen=True)
class WorkerOptions:
    """How files are classified and where the parts go."""

    output: str
    settings: Settings
    file_seconds: float
    """By the clock, to fetch a file, and again to decode it."""
    file_megabytes: int
    cores: int | None = None
    """To use; all if None."""


@dataclass
class Counts:
    """What was done."""

    rows: int = 0
    chunks: int = 0
    music_seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    """By kind."""

    def add(self, other: "Counts") -> None:
        """Add another's."""
        self.rows += other.rows
        self.chunks += other.chunks
        self.music_seconds += other.music_seconds
        self.errors += other.errors


class Worker:
    """A loaded model that turns parts into Parquet."""

    def __init__(self, options: WorkerOptions) -> None:
        """Load the model.

        Raises:
            genre_classifier.session.ModelError: the model cannot be used; the message is one sentence.
        """
        settings = options.settings
        self.output = Output(options.output)
        self._limits = FetchLimits(options.file_megabytes, options.file_seconds)
        self.classifier = Classifier(
            settings.model,
            **settings.classifier_options,
            jobs=options.cores,
            file_seconds=options.file_seconds,
            isolate=True,
        )

    def work(self, part: Part, each: Callable[[], object] = lambda: None) -> Counts:
        """Classify a part's files and write it; `each` is called when one is done.

        Raises:
            OSError: the part cannot be written.
        """
        info = self.classifier.info
        counts, rows = Counts(), []
        for file, answer, seconds in self._answers(part):
            row = make_row(file.uri, file.identity, answer, info, file.seconds + seconds)
            rows.append(row)
            _count(counts, row)
            each()
        self.output.write(part_name(part, info.version), rows, schema(info))
        return counts

    def _answers(self, part: Part) -> Iterator[tuple[FetchedFile, Analysis | AudioError | FetchError, float]]:
        """Each file of a part, in order, what came of it, and the seconds that its classification took."""
        begun: deque[FetchedFile] = deque()

        def paths(files: Iterator[FetchedFile]) -> Iterator[Path]:
            for file in files:
                begun.append(file)
                if file.path is not None:
                    yield file.path

        # The folder outlives the fetching: the classifier reads the last files after they all are there. A fetch that
        # was left behind may write into it while it is removed.
        with (
            tempfile.TemporaryDirectory(prefix="genre-batch-", ignore_cleanup_errors=True) as folder,
            closing(fetch_files(part, Path(folder), self._limits)) as files,  # type: ignore[type-var]
        ):
            for _, answer, seconds in self.classifier.analyse_files(paths(files)):
                while (file := begun.popleft()).error:
                    yield file, file.error, 0.0
                file.remove()
                yield file, answer, seconds
            for file in begun:
                assert file.error
                yield file, file.error, 0.0


def _count(counts: Counts, row: dict[str, Any]) -> None:
    counts.rows += 1
    if row["error_kind"]:
        counts.errors[row["error_kind"]] += 1
    counts.chunks += row["chunks"] or 0
    counts.music_seconds += row["duration"] or 0.0
