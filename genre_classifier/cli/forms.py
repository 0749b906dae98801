"""The forms of a report, and whether a file has one of them: a run replaces only what a run has written."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

from genre_classifier.verdict import Verdict

COLUMNS = ("file", "genre", "confidence", "uncertain", "recognised", "duration", "warning", "error")
SEGMENT_COLUMNS = ("file", "start", "end", "genre", "error")
ERROR_FIELDS = {"file", "error", "kind"}
FIELDS = {"file", *(name for name, field in Verdict.model_fields.items() if field.is_required())}
HEADING = "sure  length  file"  # of a table, after the genre

JSON_START, CSV_START, TABLE_START = b'{"file": ', b"file,", b"genre "
LONGEST_START = max(map(len, (JSON_START, CSV_START, TABLE_START)))
TABLE_HEADING = re.compile(f"genre {{3,}}{HEADING}")
TABLE_LINE = re.compile(r"\S.* +\d+%  +\d+:\d\d  .*| {8}.*")  # a file; what else is said of it


def is_report(path: Path) -> bool:
    """Whether a file is a report of any form, or is empty.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(LONGEST_START)
        if not start.startswith((JSON_START, CSV_START, TABLE_START)):
            return not start
        return form_of(start + file.read()) is not None  # all of it only now: other files may be large


def form_of(content: bytes) -> str | None:
    """The form that a file has: json, csv or table, by any model; None for anything else.

    The last line may be unfinished, as a killed run leaves it.
    """
    text = content.decode("utf-8", errors="surrogateescape")
    try:
        if content.startswith(JSON_START):
            return "json" if _is_json(text) else None
        if content.startswith(CSV_START):
            return "csv" if _is_csv(text) else None
    except (ValueError, csv.Error, RecursionError):
        return None
    return "table" if _is_table(text) else None


def _is_json(text: str) -> bool:
    *lines, last = text.split("\n")
    if not all(_is_answer(json.loads(line)) for line in lines):
        return False
    try:
        return not last or _is_answer(json.loads(last))
    except ValueError:  # unfinished; alone, it must at least look like an answer
        start = JSON_START.decode()
        return last[: len(start)] == start[: len(last)] and (
            bool(lines) or any(f'", "{field}": "' in last for field in ("genre", "error"))
        )


def _is_answer(value: object) -> bool:
    return isinstance(value, dict) and (value.keys() >= FIELDS or value.keys() == ERROR_FIELDS)


def _is_csv(text: str) -> bool:
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    if rows and not text.endswith("\n"):
        rows.pop()
    known = next((len(each) for each in (COLUMNS, SEGMENT_COLUMNS) if tuple(header[: len(each)]) == each), None)
    if known in {None, len(header)}:  # no column for any label
        return False
    return all(len(row) == len(header) and _are_probabilities(row[known:]) for row in rows)


def _are_probabilities(cells: Sequence[str]) -> bool:
    """Whether cells are numbers, or empty, as for silence and with --top-k."""
    return all(0 <= float(cell or 0) <= 1 for cell in cells)


def _is_table(text: str) -> bool:
    heading, *lines = text.split("\n")
    return bool(TABLE_HEADING.fullmatch(heading)) and all(map(TABLE_LINE.fullmatch, lines[:-1]))
