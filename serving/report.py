"""The command line's output: a table for people, JSON Lines or CSV for programs, one line a file as it is done."""

import csv
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
        self.line(json.dumps({"file": file, **verdict.model_dump(mode="json")}, ensure_ascii=False))


class CsvReport(Report):
    """One row a file, with a column for each label's probability."""

    def __init__(self, output: TextIO, done: frozenset[str], labels: Sequence[str], *, header: bool) -> None:
        """Write the header, unless the output is resumed."""
        super().__init__(output, done)
        self._labels = labels
        self._writer = csv.writer(output, lineterminator="\n")
        if header:
            self._writer.writerow([*COLUMNS, *labels])

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


def open_report(output: Path | None, form: str, labels: Sequence[str], *, resume: bool, ranking: bool) -> Report:
    """The report in a form: json, csv or table.

    Raises:
        OSError: the output cannot be written.
    """
    done = _resume(output, form) if output and resume else frozenset()
    file = sys.stdout if output is None else output.open("a" if resume else "w", encoding="utf-8", newline="")
    if form == "json":
        return JsonReport(file, done)
    if form == "csv":
        return CsvReport(file, done, labels, header=file is sys.stdout or file.tell() == 0)
    return TableReport(file, labels, ranking=ranking)


def _resume(output: Path, form: str) -> frozenset[str]:
    """The files an earlier run has written; a line that it did not finish is cut off."""
    if not output.exists():
        return frozenset()
    written = output.read_bytes()
    whole = written[: written.rfind(b"\n") + 1]
    if whole != written:
        output.write_bytes(whole)
    lines = whole.decode().splitlines()
    if form == "json":
        return frozenset(json.loads(line)["file"] for line in lines)
    return frozenset(row[0] for row in csv.reader(lines))
