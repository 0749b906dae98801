"""Which clips train, which choose, which test."""

import csv
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from train.errors import TrainingError

Split = Literal["train", "valid", "test"]

PARTS: dict[str, Split] = {part: part for part in get_args(Split)}

# Kereliuk, Sturm and Larsen, "Deep learning and music adversaries", IEEE Trans. Multimedia 2015, arXiv 1507.04761:
# GTZAN without its duplicates and distorted clips, no artist on two sides.
FAULT_FILTERED = Path(__file__).with_name("fault_filtered.csv")


def load_split(name: str) -> dict[str, Split]:
    """Split of each clip: `fault-filtered`, the published lists, or a CSV file's path.

    Raises:
        TrainingError: it is neither.
    """
    if name == "fault-filtered":
        return read_split(FAULT_FILTERED)
    if not Path(name).is_file():
        raise TrainingError(f"There is no split {name}: it is fault-filtered, or a CSV file with columns clip,split.")
    return read_split(Path(name))


def read_split(path: Path) -> dict[str, Split]:
    """Split of each clip, from a CSV file with the columns clip and split.

    Raises:
        TrainingError: the file is not such a table, or names a clip twice.
    """
    split: dict[str, Split] = {}
    try:
        # Spreadsheets write a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                clip, part = row["clip"], row["split"]
                if part not in PARTS:
                    raise TrainingError(f"{path} holds the split {part!r}; there are train, valid and test.")
                if clip in split:
                    raise TrainingError(f"{path} names the clip {clip} twice.")
                split[clip] = PARTS[part]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path} is not a table with the columns clip and split.") from error
    return split


def split_table(split: Mapping[str, Split]) -> str:
    """The split as CSV text, sorted by clip: what `read_split` reads, and what is hashed."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("clip", "split"))
    writer.writerows(sorted(split.items()))
    return table.getvalue()


def split_sha256(split: Mapping[str, Split]) -> str:
    """Digest that tells two splits apart, of the table as `split_table` writes it."""
    return hashlib.sha256(split_table(split).encode()).hexdigest()
