"""Which chunks train, which validate (choose the epoch), which test."""

import csv
import hashlib
import io
import sys
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from train.data.chunks import UNLABELLED, Chunks
from train.errors import TrainingError

Part = Literal["train", "valid", "test"]
PARTS: dict[str, Part] = {part: part for part in get_args(Part)}
VALID_FROM, TEST_FROM = 0.7, 0.85  # the original project's shares: 70 % train, 15 % valid, 15 % test

# Kereliuk, Sturm and Larsen, "Deep learning and music adversaries", IEEE Trans. Multimedia 2015, arXiv 1507.04761:
# GTZAN without duplicates and distorted clips, each artist in one part only.
FAULT_FILTERED = Path(__file__).with_name("fault_filtered.csv")
LEAK_WARNING = (
    "WARNING: {} puts chunks of one recording into several parts. The test accuracy then measures how well recordings "
    "are recognised, not genres. Use it only to compare with results that others report."
)


@dataclass(frozen=True)
class Split:
    """The part to which each clip, or each chunk of a clip, belongs."""

    parts: Mapping[tuple[str, int | None], Part]
    """By clip and number of the chunk; None means all chunks of the clip."""

    def part(self, clip: str, chunk: int | None) -> Part | None:
        """Part of a chunk, by its clip and number; None if the split does not list it."""
        return self.parts.get((clip, None), self.parts.get((clip, chunk)))

    def clips(self, part: str) -> set[str]:
        """Names of the clips that are in a part, whole or with some chunks."""
        return {clip for (clip, _), each in self.parts.items() if each == part}

    def mask(self, chunks: Chunks, part: str) -> Tensor:
        """Which labelled chunks belong to a part, bool (chunks,); valid and test hold scored chunks only."""
        names = [chunks.clips[clip].name for clip in chunks.clip.tolist()]
        keys = zip(names, chunks.number.tolist(), strict=True)
        belongs = torch.tensor([self.part(*key) == part for key in keys], dtype=torch.bool)
        belongs &= chunks.target != UNLABELLED
        return belongs if part == "train" else belongs & chunks.scored

    def of(self, clips: Container[str]) -> "Split":
        """The split reduced to these clips."""
        return Split({key: part for key, part in self.parts.items() if key[0] in clips})

    def moved_to_train(self, *moved: Part) -> "Split":
        """The split with the clips of these parts moved to train."""
        return Split({key: "train" if part in moved else part for key, part in self.parts.items()})

    @property
    def whole(self) -> bool:
        """Whether no clip is divided, so that crops may lie anywhere in it."""
        return all(chunk is None for _, chunk in self.parts)

    @property
    def divides(self) -> bool:
        """Whether the chunks of some clip are in several parts, so that the split leaks."""
        parts_of: dict[str, set[Part]] = {}
        for (clip, _), part in self.parts.items():
            parts_of.setdefault(clip, set()).add(part)
        return any(len(parts) > 1 for parts in parts_of.values())

    def table(self) -> str:
        """CSV text, sorted, which `read_split` reads and `sha256` hashes; it has a column `chunk` only if needed."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("clip", "split") if self.whole else ("clip", "chunk", "split"))
        for (clip, chunk), part in sorted(self.parts.items(), key=lambda item: (item[0][0], item[0][1] or 0)):
            writer.writerow((clip, part) if self.whole else (clip, "" if chunk is None else chunk, part))
        return text.getvalue()

    def sha256(self) -> str:
        """Digest of the table; it identifies a split."""
        return hashlib.sha256(self.table().encode()).hexdigest()


def read_split(path: Path) -> Split:
    """Read a split from a CSV file with the columns clip and split, and chunk if it divides clips.

    Raises:
        TrainingError: the file is not such a table, or it lists a clip or a chunk twice.
    """
    parts: dict[tuple[str, int | None], Part] = {}
    divided: set[str] = set()
    try:
        # Spreadsheets write a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                key = row["clip"], int(row["chunk"]) if row.get("chunk") else None
                if row["split"] not in PARTS:
                    raise TrainingError(f"{path} contains the split {row['split']!r}; use train, valid or test.")
                whole = (key[0], None)
                if key in parts or whole in parts or (key == whole and key[0] in divided):
                    raise TrainingError(f"{path} lists the clip {key[0]} twice.")
                parts[key] = PARTS[row["split"]]
                if key != whole:
                    divided.add(key[0])
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise TrainingError(f"{path} is not a table with the columns clip and split.") from error
    return Split(parts)


def load_split(name: str) -> Split:
    """The split `fault-filtered`, or one from a CSV file; a split that leaks is reported on standard error.

    Raises:
        TrainingError: the file is not such a table, or it lists a clip or a chunk twice.
    """
    split = read_split(FAULT_FILTERED if name == "fault-filtered" else Path(name))
    if split.divides:
        print(LEAK_WARNING.format(Path(name).name), file=sys.stderr)
    return split


def random_chunk_split(chunks: Sequence[tuple[str, int]], seed: int) -> Split:
    """The original project's protocol: each chunk, given by clip and number, is assigned at random."""
    order = np.random.default_rng(seed).permutation(len(chunks))
    rank = np.argsort(order) / len(chunks)
    parts: list[Part] = ["train" if each < VALID_FROM else "valid" if each < TEST_FROM else "test" for each in rank]
    return Split(dict(zip(chunks, parts, strict=True)))
