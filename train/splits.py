"""Which chunks train, which choose, which test."""

import csv
import hashlib
import io
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from train.data import Chunks
from train.errors import TrainingError

Part = Literal["train", "valid", "test"]
PARTS: dict[str, Part] = {part: part for part in get_args(Part)}

# Kereliuk, Sturm and Larsen, "Deep learning and music adversaries", IEEE Trans. Multimedia 2015, arXiv 1507.04761:
# GTZAN without its duplicates and distorted clips, no artist on two sides.
FAULT_FILTERED = Path(__file__).with_name("fault_filtered.csv")


@dataclass(frozen=True)
class Split:
    """The part that each clip, or each chunk of a clip, plays."""

    parts: Mapping[tuple[str, int | None], Part]
    """By clip and number of the chunk, None for all chunks of a clip."""

    def part(self, clip: str, chunk: int | None) -> Part | None:
        """Part of a chunk of a clip by its number; None for the clip as a whole."""
        return self.parts.get((clip, None), self.parts.get((clip, chunk)))

    def clips(self, part: str) -> set[str]:
        """Names of the clips of which something belongs to a part."""
        return {clip for (clip, _), each in self.parts.items() if each == part}

    def mask(self, chunks: Chunks, part: str) -> Tensor:
        """Which chunks belong to a part, bool (chunks,): of the parts that do not train, only what is scored."""
        names = [chunks.clips[clip].name for clip in chunks.clip.tolist()]
        keys = zip(names, chunks.number.tolist(), strict=True)
        belongs = torch.tensor([self.part(*key) == part for key in keys], dtype=torch.bool)
        return belongs if part == "train" else belongs & chunks.scored

    def of(self, clips: Container[str]) -> "Split":
        """What it says of these clips."""
        return Split({key: part for key, part in self.parts.items() if key[0] in clips})

    def without_validation(self) -> "Split":
        """The same, but what chooses trains too."""
        return Split({key: "train" if part == "valid" else part for key, part in self.parts.items()})

    @property
    def whole(self) -> bool:
        """Whether no clip is divided, so that crops may lie anywhere in it."""
        return all(chunk is None for _, chunk in self.parts)

    @property
    def divides(self) -> bool:
        """Whether chunks of one clip lie on both sides of the split, and it leaks."""
        sides: dict[str, set[Part]] = {}
        for (clip, _), part in self.parts.items():
            sides.setdefault(clip, set()).add(part)
        return any(len(parts) > 1 for parts in sides.values())

    def table(self) -> str:
        """CSV text, sorted: what `read_split` reads, and what is hashed. A column `chunk` only where one is needed."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("clip", "split") if self.whole else ("clip", "chunk", "split"))
        for (clip, chunk), part in sorted(self.parts.items(), key=lambda item: (item[0][0], item[0][1] or 0)):
            writer.writerow((clip, part) if self.whole else (clip, "" if chunk is None else chunk, part))
        return text.getvalue()

    def sha256(self) -> str:
        """Digest of the table, which tells two splits apart."""
        return hashlib.sha256(self.table().encode()).hexdigest()


def read_split(path: Path) -> Split:
    """A split from a CSV file with the columns clip and split, and chunk where it divides clips.

    Raises:
        TrainingError: the file is not such a table, or names a clip or a chunk twice.
    """
    parts: dict[tuple[str, int | None], Part] = {}
    divided: set[str] = set()
    try:
        # Spreadsheets write a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                key = row["clip"], int(row["chunk"]) if row.get("chunk") else None
                if row["split"] not in PARTS:
                    raise TrainingError(f"{path} holds the split {row['split']!r}; there are train, valid and test.")
                whole = (key[0], None)
                if key in parts or whole in parts or (key == whole and key[0] in divided):
                    raise TrainingError(f"{path} names the clip {key[0]} twice.")
                parts[key] = PARTS[row["split"]]
                if key != whole:
                    divided.add(key[0])
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise TrainingError(f"{path} is not a table with the columns clip and split.") from error
    return Split(parts)


def random_chunks(chunks: Sequence[tuple[str, int]], seed: int) -> Split:
    """The original project's protocol: single chunks, by clip and number, 70 % train, 15 % choose, 15 % test."""
    order = np.random.default_rng(seed).permutation(len(chunks))
    rank = np.argsort(order) / len(chunks)
    names: list[Part] = ["train" if each < 0.7 else "valid" if each < 0.85 else "test" for each in rank]  # noqa: PLR2004
    return Split({(clip, chunk): part for (clip, chunk), part in zip(chunks, names, strict=True)})
