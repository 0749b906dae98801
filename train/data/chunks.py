"""Decoded clips as a random-access data set of 3-second chunks."""

from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor
from torch.utils.data import Dataset

from genre_classifier.audio import CHUNK_SAMPLES, chunk_starts, is_audible
from train.data.clips import Clip, Waveform, fill_chunk

UNLABELLED = -1  # in the place of a label's index


class Chunks(Dataset[tuple[Tensor, int]]):
    """Audible chunks of decoded clips, in memory (5 MB a minute): item i is a waveform (66150,) and its label.

    Attributes:
        clip: int64 (chunks,), the index of each chunk's clip in `clips`.
        target: int64 (chunks,), the index of each chunk's genre in `labels`; -1 for a clip without a genre.
        number: int64 (chunks,), the number of each chunk within its clip; silent chunks count.
        scored: bool (chunks,), false for clips shorter than a chunk, which are repeated to fill one.
        positions: the clip's index and the first sample of each chunk.
    """

    def __init__(self, clips: Sequence[Clip], waveforms: Sequence[Waveform], labels: Sequence[str]) -> None:
        """Cut the waveforms into the chunks that the classifier would classify."""
        self.clips = list(clips)
        self.labels = list(labels)
        self.waveforms = [fill_chunk(waveform) for waveform in waveforms]
        numbered = [
            (clip, number, start)
            for clip, waveform in enumerate(self.waveforms)
            for number, start in enumerate(chunk_starts(len(waveform)))
            if is_audible(waveform[start : start + CHUNK_SAMPLES])
        ]
        self.positions = [(clip, start) for clip, _, start in numbered]
        label = {genre: index for index, genre in enumerate(labels)} | {"": UNLABELLED}
        self.clip = torch.tensor([clip for clip, _, _ in numbered], dtype=torch.int64)
        self.target = torch.tensor([label[self.clips[clip].genre] for clip, _, _ in numbered], dtype=torch.int64)
        self.number = torch.tensor([number for _, number, _ in numbered], dtype=torch.int64)
        self.scored = torch.tensor([len(each) >= CHUNK_SAMPLES for each in waveforms], dtype=torch.bool)[self.clip]

    def subset(self, mask: Tensor) -> "Chunks":
        """The chunks where the mask, bool (chunks,), is true; clips keep their indices."""
        part = copy(self)
        part.positions = [self.positions[index] for index in mask.nonzero()[:, 0].tolist()]
        part.clip, part.target, part.number, part.scored = (
            each[mask] for each in (self.clip, self.target, self.number, self.scored)
        )
        return part

    def relabelled(self, target: Tensor) -> "Chunks":
        """The same chunks with other targets, int64 (chunks,)."""
        other = copy(self)
        other.target = target
        return other

    @property
    def clip_count(self) -> int:
        """How many clips have chunks here."""
        return len(set(self.clip.tolist()))

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        clip, start = self.positions[index]
        return torch.from_numpy(self.waveforms[clip][start : start + CHUNK_SAMPLES]), int(self.target[index])
