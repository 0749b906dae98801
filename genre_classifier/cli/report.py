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
from typing import NamedTuple, Self, TextIO

from tqdm import tqdm

from genre_classifier.atomic import replacing
from genre_classifier.audio import AudioError
from genre_classifier.classifier import Analysis
from genre_classifier.cli.files import place
from genre_classifier.cli.forms import COLUMNS, HEADING, JSON_START, SEGMENT_COLUMNS, form_of
from genre_classifier.cli.results import ResultsError
from genre_classifier.cli.text import clock, printable


class Earlier(NamedTuple):
    """The places of the files in a report that is continued."""

    done: frozenset[str]
    failed: frozenset[str]


NOTHING = Earlier(frozenset(), frozenset())


class Report(ABC):
    """Writes verdicts, flushed line by line, so that an interrupted run can go on."""

    def __init__(self, output: TextIO, earlier: Earlier = NOTHING) -> None:
        """Write to an open file or the screen; `earlier` is what a continued report already holds."""
        self.output = output
        self.done, self.failed = earlier

    @abstractmethod
    def write(self, file: str, analysis: Analysis) -> None:
        """Write one file's results."""

    def write_error(self, file: str, error: AudioError) -> None:  # noqa: B027 (a table leaves it to standard error)
        """Write that a file could not be classified, where the form has a place for it."""

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

    def write_error(self, file: str, error: AudioError) -> None:
        """Write one file's line."""
        self.line(json.dumps({"file": file, "error": str(error), "kind": error.kind}))


class CsvReport(Report):
    """One row a file, or one a segment, with a column for each label's probability."""

    def __init__(self, output: TextIO, earlier: Earlier, columns: Sequence[str], *, header: bool) -> None:
        """Write the header, unless the report is continued."""
        super().__init__(output, earlier)
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
                [file, segment.start, segment.end, segment.genre or "", "", *self._shares(segment.probabilities or {})]
                for segment in verdict.segments
            ]
        else:
            recognised = "" if verdict.recognised is None else verdict.recognised
            facts = [verdict.genre, verdict.confidence, verdict.uncertain, recognised, verdict.duration]
            rows = [[file, *facts, verdict.warning or "", "", *self._shares(verdict.probabilities)]]
        self._write(rows)

    def write_error(self, file: str, error: AudioError) -> None:
        """Write one file's row."""
        known = SEGMENT_COLUMNS if self._segments else COLUMNS
        row = {"file": file, "error": str(error)}
        self._write([[*(row.get(column, "") for column in known), *self._shares({})]])

    def _write(self, rows: Sequence[Sequence[object]]) -> None:
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
        self.line(f"{genre:<{self._width}}  {verdict.confidence:4.0%}  {clock(verdict.duration):>6}  {printable(file)}")
        under = " " * (self._width + 2)
        if verdict.recognised is False:
            self.line(f"{under}none of these, most like {verdict.genre}")
        if self._ranking:
            others = (f"{label} {p:.0%}" for label, p in verdict.probabilities.items() if label != verdict.genre)
            self.line(f"{under}then {', '.join(others)}")
        if self._segments:
            for like, stretch in groupby(verdict.segments, lambda segment: segment.genre):
                segments = list(stretch)
                times = f"{clock(segments[0].start)}-{clock(segments[-1].end)}"
                self.line(f"{under}{times:>13}  {like or 'silence'}")
        if verdict.warning:
            self.line(f"{under}{verdict.warning}")


def open_report(
    output: Path | None,
    form: str,
    labels: Sequence[str],
    *,
    resume: bool,
    retry_failed: bool,
    ranking: bool,
    segments: bool,
) -> Report:
    """The report in a form: json, csv or table, with a file's segments or without.

    A report that is continued loses the rows of files that failed, where these are tried again.

    Raises:
        ResultsError: the report cannot be written, or the file holds something else than a report to continue.
    """
    columns = [*(SEGMENT_COLUMNS if segments else COLUMNS), *labels]
    earlier = NOTHING
    file: TextIO = sys.stdout
    if output:
        try:
            if resume and output.exists():
                earlier = _resume(output, form, columns, segments=segments, retry_failed=retry_failed)
            elif output.is_file() and output.stat().st_nlink > 1:  # its other names keep what they have
                output.resolve().unlink()
            # File names need not be UTF-8: their bytes are written as they are.
            file = output.open("a" if resume else "w", encoding="utf-8", errors="surrogateescape", newline="")
        except OSError as error:
            raise ResultsError(f"{output} cannot be written: {error.strerror}.") from error
    if form == "json":
        return JsonReport(file, earlier)
    if form == "csv":
        return CsvReport(file, earlier, columns, header=file is sys.stdout or file.tell() == 0)
    return TableReport(file, labels, ranking=ranking, segments=segments)


def _resume(output: Path, form: str, columns: Sequence[str], *, segments: bool, retry_failed: bool) -> Earlier:
    """What an earlier run has written; its unfinished last line is cut off once the rest is known to fit."""
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
        lines = text.split("\n")[:-1]
        rows = list(map(json.loads, lines))
        if retry_failed:
            whole = _encode("".join(f"{line}\n" for line, row in zip(lines, rows, strict=True) if not row.get("error")))
    else:
        cells = list(csv.reader(io.StringIO(text, newline="")))[1:]
        if segments and cells:  # nothing tells whether the last file has all of its rows
            cells = [row for row in cells if row[0] != cells[-1][0]]
        rows = [dict(zip(columns, row, strict=True)) for row in cells]
        if retry_failed:
            cells = [row for row, named in zip(cells, rows, strict=True) if not named["error"]]
        if whole and (segments or retry_failed):
            whole = _encode(_csv_lines([columns, *cells]))
    if whole != written:
        with replacing(output.resolve()) as part:
            part.write_bytes(whole)
    failed = frozenset(place(row["file"]) for row in rows if row.get("error"))
    done = frozenset(place(row["file"]) for row in rows) - failed
    return Earlier(done, frozenset() if retry_failed else failed)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")


def _csv_lines(rows: Iterable[Sequence[object]]) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue()
