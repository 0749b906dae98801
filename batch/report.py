"""`python -m batch.report OUTPUT`: a table and a picture of all parts of one model."""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyarrow import parquet

from batch.parts import Output
from batch.sources import SourceError

COLUMNS = ["genre", "confidence", "uncertain", "duration", "error_kind"]
BINS = 20  # of the confidence, from 0 to 1
WRONG_USE = 2


@dataclass
class Whole:
    """What all parts hold together."""

    version: str
    rows: int = 0
    uncertain: int = 0
    music_seconds: float = 0.0
    genres: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    """By kind."""
    confidence_sum: float = 0.0
    """Of the files that have an answer."""
    confidence: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    """Files in each twentieth of the confidence."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ends with exit code 2 where it makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m batch.report", description="A table and a picture of all parts.")
    parser.add_argument("output", metavar="OUTPUT", help="the folder of the parts, or its URI")
    parser.add_argument("--model-version", metavar="VERSION", help="default: that of the newest part")
    parser.add_argument("--picture", type=Path, default=Path("report.png"), metavar="FILE", help="default: report.png")
    return parser.parse_args(arguments)


def read_whole(output: Output, version: str | None = None) -> Whole:
    """Add up the parts of one model, a part at a time and its small columns alone.

    Raises:
        SourceError: there are no such parts.
    """
    parts = output.parts()
    if version is None and parts:
        infos = output.place.system.get_file_info([output.path(part.name) for part in parts])
        newest = max(zip(infos, parts, strict=True), key=lambda each: each[0].mtime_ns or 0)
        version = newest[1].version
    parts = [part for part in parts if part.version == version]
    if version is None or not parts:
        raise SourceError("There are no parts by this model in OUTPUT.")
    whole = Whole(version)
    for part in parts:
        with output.place.system.open_input_file(output.path(part.name)) as file:
            table = parquet.read_table(file, columns=COLUMNS)
        whole.rows += len(table)
        whole.genres.update(each for each in table["genre"].to_pylist() if each)
        whole.errors.update(each for each in table["error_kind"].to_pylist() if each)
        whole.uncertain += sum(filter(None, table["uncertain"].to_pylist()))
        whole.music_seconds += sum(filter(None, table["duration"].to_pylist()))
        confidence = table["confidence"].drop_null().to_numpy()
        whole.confidence_sum += float(confidence.sum(dtype=np.float64))
        whole.confidence += np.histogram(confidence, BINS, (0, 1))[0]
    return whole


def say(whole: Whole) -> None:
    """Print the table."""
    print(f"Model {whole.version}: {whole.rows} files, {whole.music_seconds / 3600:.1f} hours of music.")
    for genre, count in whole.genres.most_common():
        print(f"{genre:20} {count:10} {count / whole.rows:7.1%}")
    print(f"{'uncertain':20} {whole.uncertain:10} {whole.uncertain / whole.rows:7.1%}")
    if answers := whole.genres.total():
        print(f"{'mean confidence':20} {whole.confidence_sum / answers:10.3f}")
    for kind, count in whole.errors.most_common():
        print(f"{'error: ' + kind:20} {count:10} {count / whole.rows:7.1%}")


def draw(whole: Whole, path: Path) -> None:
    """Draw genres, confidence and errors side by side.

    Raises:
        ImportError: matplotlib is missing.
        OSError: the picture cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 (an extra)

    figure = Figure(figsize=(14, 4), layout="constrained")
    genres, confidence, errors = figure.subplots(1, 3)
    for axes, counts, title in ((genres, whole.genres, "Genres"), (errors, whole.errors, "Errors")):
        axes.barh(list(counts), list(counts.values()))
        axes.set(title=title if counts else f"{title}: none", xlabel="files")
        if not counts:
            axes.set_axis_off()
    confidence.bar(np.arange(BINS) / BINS, whole.confidence, width=1 / BINS, align="edge")
    confidence.set(title="Confidence", xlabel="mean probability", ylabel="files", xlim=(0, 1))
    figure.suptitle(f"{whole.rows} files, model {whole.version}")
    figure.savefig(path)


def main() -> None:
    """Print and draw, and exit with the code."""
    args = parse_args()
    try:
        whole = read_whole(Output(args.output), args.model_version)
        say(whole)
        draw(whole, args.picture)
    except (SourceError, OSError, ValueError) as error:
        sys.exit(_wrong(str(error)))
    except ImportError:
        sys.exit(_wrong('The picture needs matplotlib: pip install "genre-classifier[train]".'))


def _wrong(message: str) -> int:
    print(message, file=sys.stderr)
    return WRONG_USE


if __name__ == "__main__":
    main()
