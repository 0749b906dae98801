"""Which clips train, which choose, which test."""

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from train.errors import TrainingError

Split = Literal["train", "valid", "test"]

# Kereliuk, Sturm and Larsen, "Deep learning and music adversaries", IEEE Trans. Multimedia 2015, arXiv 1507.04761:
# GTZAN without its duplicates and distorted clips, no artist on two sides.
FAULT_FILTERED = Path(__file__).with_name("fault_filtered.csv")


def load_split(name: str) -> dict[str, Split]:
    """Split of each clip: `fault-filtered`, the published lists, or a CSV file's path.

    Raises:
        TrainingError: it is neither.
    """
    return read_split(FAULT_FILTERED if name == "fault-filtered" else Path(name))


def read_split(path: Path) -> dict[str, Split]:
    """Split of each clip, from a CSV file with the columns clip and split.

    Raises:
        TrainingError: the file is not such a table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            split = {row["clip"]: row["split"] for row in csv.DictReader(file)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path} is not a table with the columns clip and split.") from error
    if wrong := set(split.values()) - set(get_args(Split)):
        raise TrainingError(f"{path} holds the split {min(wrong)!r}; there are train, valid and test.")
    return split  # type: ignore[return-value]


def split_table(split: Mapping[str, Split]) -> str:
    """The split as CSV text, sorted by clip: what `read_split` reads, and what is hashed."""
    return "clip,split\n" + "".join(f"{clip},{split[clip]}\n" for clip in sorted(split))


def split_sha256(split: Mapping[str, Split]) -> str:
    """Digest that tells two splits apart, of the table as `split_table` writes it."""
    return hashlib.sha256(split_table(split).encode()).hexdigest()
