"""GTZAN-style folders, one per genre, as a random-access data set of 3-second chunks."""

import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from audio import CHUNK_SAMPLES, SILENT_BELOW, Audio, AudioError, chunk_starts, decode
from train.errors import TrainingError

Waveform = NDArray[np.float32]  # mono at 22 050 Hz, (samples,)
SUFFIXES = (".wav", ".au", ".mp3", ".flac", ".ogg")


@dataclass(frozen=True)
class Clip:
    """A labelled recording."""

    name: str
    """Its file's name without the suffix, `blues.00000`, by which splits know it."""
    genre: str
    path: Path


def find_clips(root: Path) -> list[Clip]:
    """The clips in `root/<genre>/*`, sorted.

    Raises:
        TrainingError: there are none, or two have one name.
    """
    if not root.is_dir():
        raise TrainingError(f"{root} is not a folder; --data takes one with a folder of clips for each genre.")
    clips = [
        Clip(path.stem, folder.name, path)
        for folder in sorted(root.iterdir())
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES
    ]
    if not clips:
        raise TrainingError(f"{root} holds no clips; they are expected in {root}/<genre>/ as {', '.join(SUFFIXES)}.")
    by_name: dict[str, Clip] = {}
    for clip in clips:
        if (other := by_name.setdefault(clip.name, clip)) is not clip:
            raise TrainingError(f"{clip.path} and {other.path} have one name, so that a split cannot tell them apart.")
    return clips


class Chunks(Dataset[tuple[Tensor, int]]):
    """Audible chunks of decoded clips, in memory (5 MB a minute): item i is a waveform (66150,) and its label.

    Attributes:
        clip: int64 (chunks,), the position of each chunk's clip among `clips`.
        target: int64 (chunks,), the position of each chunk's genre among the labels.
        number: int64 (chunks,), the place of each chunk among those of its clip, silent ones counted.
        scored: bool (chunks,), false for clips shorter than a chunk, which are repeated to fill one.
    """

    def __init__(self, clips: Sequence[Clip], waveforms: Sequence[Waveform], labels: Sequence[str]) -> None:
        """The chunks that serving cuts."""
        self.clips = list(clips)
        self.labels = list(labels)
        self.waveforms = [fill_chunk(waveform) for waveform in waveforms]
        numbered = [
            (clip, number, start)
            for clip, waveform in enumerate(self.waveforms)
            for number, start in enumerate(chunk_starts(len(waveform)))
            # As serving leaves silence out.
            if np.abs(waveform[start : start + CHUNK_SAMPLES]).max() >= SILENT_BELOW
        ]
        self.places = [(clip, start) for clip, _, start in numbered]
        label = {genre: index for index, genre in enumerate(labels)}
        self.clip = torch.tensor([clip for clip, _, _ in numbered], dtype=torch.int64)
        self.target = torch.tensor([label[self.clips[clip].genre] for clip, _, _ in numbered], dtype=torch.int64)
        self.number = torch.tensor([number for _, number, _ in numbered], dtype=torch.int64)
        self.scored = torch.tensor([len(each) >= CHUNK_SAMPLES for each in waveforms], dtype=torch.bool)[self.clip]

    def subset(self, mask: Tensor) -> "Chunks":
        """The chunks where the mask, bool (chunks,), is true; clips keep their positions."""
        part = copy(self)
        part.places = [self.places[index] for index in mask.nonzero()[:, 0].tolist()]
        part.clip, part.target, part.number, part.scored = (
            each[mask] for each in (self.clip, self.target, self.number, self.scored)
        )
        return part

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        clip, start = self.places[index]
        return torch.from_numpy(self.waveforms[clip][start : start + CHUNK_SAMPLES]), int(self.target[index])


def fill_chunk(waveform: Waveform) -> Waveform:
    """A waveform shorter than a chunk, repeated to fill one; others as they are."""
    return waveform if len(waveform) >= CHUNK_SAMPLES else np.resize(waveform, CHUNK_SAMPLES)


def decode_clips(clips: Iterable[Clip]) -> tuple[list[Clip], list[Waveform]]:
    """Clips that decode, and their waveforms; the others are named on standard error, and left out."""
    clips = list(clips)

    def attempt(clip: Clip) -> Audio | AudioError:
        try:
            audio = decode(clip.path)
        except AudioError as error:
            return error
        audible = bool((np.abs(audio.waveform) >= SILENT_BELOW).any())
        return audio if audible else AudioError("The file is silent from beginning to end.", "too_short")

    kept: list[Clip] = []
    waveforms: list[Waveform] = []
    with ThreadPoolExecutor() as pool:
        results = pool.map(attempt, clips)
        for clip, result in zip(clips, tqdm(results, "decoding", len(clips), unit="clip", disable=None), strict=True):
            if isinstance(result, AudioError):
                tqdm.write(f"skipped {clip.path}: {result}", file=sys.stderr)
            else:
                if result.warning:
                    tqdm.write(f"{clip.path}: {result.warning}", file=sys.stderr)
                kept.append(clip)
                waveforms.append(result.waveform)
    return kept, waveforms
