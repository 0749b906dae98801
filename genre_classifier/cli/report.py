"""The command line's report: a table for people, JSON Lines or CSV for programs, one line a file as it is done."""

import csv
import io
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm

from genre_classifier.classifier import Analysis
from genre_classifier.cli.forms import COLUMNS, HEADING, JSON_START, SEGMENT_COLUMNS, form_of
from genre_classifier.cli.results import ResultsError


class Report(ABC):
    """Writes verdicts, flushed line by line, so that an interrupted run can go on."""

    def __init__(self, output: TextIO, done: frozenset[str] = frozenset()) -> None:
        """Write to an open file or the screen; `done` are the files that a continued report already holds."""
        self.output = output
        self.done = done

    @abstractmethod
    def write(self, file: str, analysis: Analysis) -> None:
        """Write one file's results."""

    def line(self, text: str) -> None:
        """Write a line without disturbing a progress bar."""
        tqdm.write(text, file=self.output)
        self.output.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.output is not sys.stdout:
            self.output.close()


class JsonReport(Report):
    """One object a line: the file and the verdict as /classify answers it."""

    def write(self, file: str, analysis: Analysis) -> None:
        """Write one file's line."""
        self.line(json.dumps({"file": file, **analysis.verdict.model_dump(mode="json")}))


class CsvReport(Report):
    """One row a file, or one a segment, with a column for each label's probability."""

    def __init__(self, output: TextIO, done: frozenset[str], columns: Sequence[str], *, header: bool) -> None:
        """Write the header, unless the report is continued."""
        super().__init__(output, done)
        self._segments = columns[: len(SEGMENT_COLUMNS)] == list(SEGMENT_COLUMNS)
        self._labels = columns[len(SEGMENT_COLUMNS if self._segments else COLUMNS) :]
        if header:
            output.write(_csv_lines([columns]))

    def write(self, file: str, analysis: Analysis) -> None:
        """Write one file's rows, at once."""
        verdict = analysis.verdict
        rows: list[list[object]]
        if self._segments:
            rows = [
                [file, segment.start, segment.end, segment.genre or "", *self._shares(segment.probabilities or {})]
                for segment in verdict.segments
            ]
        else:
            recognised = "" if verdict.recognised is None else verdict.recognised
            facts = [verdict.genre, verdict.confidence, verdict.uncertain, recognised, verdict.duration]
            rows = [[file, *facts, verdict.warning or "", *self._shares(verdict.probabilities)]]
        with tqdm.external_write_mode(file=self.output):
            self.output.write(_csv_lines(rows))
        self.output.flush()

    def _shares(self, probabilities: dict[str, float]) -> list[float | str]:
        return [probabilities.get(label, "") for label in self._labels]


class TableReport(Report):
    """Columns for people: genre, confidence, length, file."""

    def __init__(self, output: TextIO, labels: Sequence[str], *, ranking: bool, segments: bool) -> None:
        """Write the heading; `ranking` lists the other genres too, `segments` the genre from when to when."""
        super().__init__(output)
        self._width = max(len("genre?"), *(len(label) + 1 for label in labels))
        self._ranking = ranking
        self._segments = segments
        self.line(f"{'genre':<{self._width}}  {HEADING}")

    def write(self, file: str, analysis: Analysis) -> None:
        """Write one file's lines; a question mark follows an uncertain genre."""
        verdict = analysis.verdict
        genre = verdict.genre + "?" * verdict.uncertain
        self.line(
            f"{genre:<{self._width}}  {verdict.confidence:4.0%}  {_clock(verdict.duration):>6}  {printable(file)}"
        )
        under = " " * (self._width + 2)
        if verdict.recognised is False:
            self.line(f"{under}none of these, most like {verdict.genre}")
        if self._ranking:
            others = (f"{label} {p:.0%}" for label, p in verdict.probabilities.items() if label != verdict.genre)
            self.line(f"{under}then {', '.join(others)}")
        if self._segments:
            for like, stretch in groupby(verdict.segments, lambda segment: segment.genre):
                segments = list(stretch)
                times = f"{_clock(segments[0].start)}-{_clock(segments[-1].end)}"
                self.line(f"{under}{times:>13}  {like or 'silence'}")
        if verdict.warning:
            self.line(f"{under}{verdict.warning}")


def open_report(
    output: Path | None, form: str, labels: Sequence[str], *, resume: bool, ranking: bool, segments: bool
) -> Report:
    """The report in a form: json, csv or table, with a file's segments or without.

    Raises:
        ResultsError: the report cannot be written, or the file holds something else than a report to continue.
    """
    columns = [*(SEGMENT_COLUMNS if segments else COLUMNS), *labels]
    done: frozenset[str] = frozenset()
    file: TextIO = sys.stdout
    if output:
        try:
            if resume and output.exists():
                done = _resume(output, form, columns, segments=segments)
            # File names need not be UTF-8: their bytes are written as they are.
            file = output.open("a" if resume else "w", encoding="utf-8", errors="surrogateescape", newline="")
        except OSError as error:
            raise ResultsError(f"{output} cannot be written: {error.strerror}.") from error
    if form == "json":
        return JsonReport(file, done)
    if form == "csv":
        return CsvReport(file, done, columns, header=file is sys.stdout or file.tell() == 0)
    return TableReport(file, labels, ranking=ranking, segments=segments)


def _resume(output: Path, form: str, columns: Sequence[str], *, segments: bool) -> frozenset[str]:
    """The files that an earlier run has written; its unfinished last line is cut off once the rest is known to fit."""
    other = ResultsError(
        f"{output} holds something else than the --{form} report of an earlier run, and is left as it is."
    )
    written = output.read_bytes()
    start = JSON_START if form == "json" else _csv_lines([columns]).encode()
    if written and (form_of(written) != form or written[: len(start)] != start[: len(written)]):
        raise other
    whole = written[: written.rfind(b"\n") + 1]
    text = whole.decode("utf-8", errors="surrogateescape")
    if form == "json":
        done = frozenset(json.loads(line)["file"] for line in text.split("\n")[:-1])
    else:
        rows = list(csv.reader(io.StringIO(text, newline="")))
        if segments and len(rows) > 1:  # nothing tells whether the last file has all of its rows
            rows = [row for row in rows if row[0] != rows[-1][0]]
            whole = _csv_lines(rows).encode("utf-8", errors="surrogateescape")
        done = frozenset(row[0] for row in rows[1:])
    if whole != written:
        output.write_bytes(whole)
    return done


def _csv_lines(rows: Iterable[Sequence[object]]) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue()


def printable(name: str) -> str:
    """A file's name as printable text: control characters, which a terminal would obey, are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _clock(seconds: float) -> str:
    return "{}:{:02}".format(*divmod(round(seconds), 60))
