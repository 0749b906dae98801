"""The command line's output: a table for people, JSON Lines or CSV for programs, one line a file as it is done."""

import csv
import io
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm

from serving.verdict import Verdict

COLUMNS = ("file", "genre", "confidence", "uncertain", "duration", "warning")


class Report(ABC):
    """Writes verdicts, flushed line by line, so that an interrupted run can go on."""

    def __init__(self, output: TextIO, done: frozenset[str] = frozenset()) -> None:
        """Write to an open file or the screen; `done` are the files that a resumed output holds already."""
        self.output = output
        self.done = done

    @abstractmethod
    def write(self, file: str, verdict: Verdict) -> None:
        """Write one file's verdict."""

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

    def write(self, file: str, verdict: Verdict) -> None:
        """Write one file's verdict."""
        self.line(json.dumps({"file": file, **verdict.model_dump(mode="json")}))


class CsvReport(Report):
    """One row a file, with a column for each label's probability."""

    def __init__(self, output: TextIO, done: frozenset[str], columns: Sequence[str], *, header: bool) -> None:
        """Write the header, unless the output is resumed."""
        super().__init__(output, done)
        self._labels = columns[len(COLUMNS) :]
        self._writer = csv.writer(output, lineterminator="\n")
        if header:
            self._writer.writerow(columns)

    def write(self, file: str, verdict: Verdict) -> None:
        """Write one file's verdict."""
        probabilities = [verdict.probabilities.get(label, "") for label in self._labels]
        row = [file, verdict.genre, verdict.confidence, verdict.uncertain, verdict.duration, verdict.warning or ""]
        with tqdm.external_write_mode(file=self.output):
            self._writer.writerow([*row, *probabilities])
        self.output.flush()


class TableReport(Report):
    """Columns for people: what it is, how sure, how long, which file."""

    def __init__(self, output: TextIO, labels: Sequence[str], *, ranking: bool) -> None:
        """Write the heading; `ranking` lists the other genres too."""
        super().__init__(output)
        self._width = max(len("genre?"), *(len(label) + 1 for label in labels))
        self._ranking = ranking
        self.line(f"{'genre':<{self._width}}  sure  length  file")

    def write(self, file: str, verdict: Verdict) -> None:
        """Write one file's verdict; a question mark stands behind what is uncertain."""
        genre = verdict.genre + "?" * verdict.uncertain
        minutes, seconds = divmod(round(verdict.duration), 60)
        self.line(f"{genre:<{self._width}}  {verdict.confidence:4.0%}  {minutes:>3}:{seconds:02}  {file}")
        if self._ranking:
            others = (f"{label} {p:.0%}" for label, p in verdict.probabilities.items() if label != verdict.genre)
            self.line(f"{'':<{self._width}}  then {', '.join(others)}")
        if verdict.warning:
            self.line(f"{'':<{self._width}}  {verdict.warning}")


class ReportError(Exception):
    """The output cannot be what it shall be; the message is one sentence."""


def open_report(output: Path | None, form: str, labels: Sequence[str], *, resume: bool, ranking: bool) -> Report:
    """The report in a form: json, csv or table.

    Raises:
        ReportError: the output cannot be written, or holds something else than a report to resume.
    """
    columns = [*COLUMNS, *labels]
    done: frozenset[str] = frozenset()
    file: TextIO = sys.stdout
    if output:
        try:
            if resume and output.exists():
                done = _resume(output, form, columns)
            # File names need not be UTF-8: what they are made of goes out as it came.
            file = output.open("a" if resume else "w", encoding="utf-8", errors="surrogateescape", newline="")
        except OSError as error:
            raise ReportError(f"{output} cannot be written: {error.strerror}.") from error
    if form == "json":
        return JsonReport(file, done)
    if form == "csv":
        return CsvReport(file, done, columns, header=file is sys.stdout or file.tell() == 0)
    return TableReport(file, labels, ranking=ranking)


def _resume(output: Path, form: str, columns: Sequence[str]) -> frozenset[str]:
    """The files an earlier run has written; a line that it did not finish is cut off, once the rest is known to fit."""
    other = ReportError(f"{output} holds something else than the --{form} of an earlier run: left as it is.")
    written = output.read_bytes()
    start = b'{"file": ' if form == "json" else _csv_line(columns).encode()
    if written[: len(start)] != start[: len(written)]:
        raise other
    whole = written[: written.rfind(b"\n") + 1]
    text = whole.decode("utf-8", errors="surrogateescape")
    try:
        if form == "json":
            done = frozenset(json.loads(line)["file"] for line in text.split("\n")[:-1])
        else:
            done = frozenset(row[0] for row in list(csv.reader(io.StringIO(text, newline="")))[1:])
    except (ValueError, KeyError, TypeError, IndexError, csv.Error) as error:
        raise other from error
    if whole != written:
        output.write_bytes(whole)
    return done


def _csv_line(values: Sequence[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
