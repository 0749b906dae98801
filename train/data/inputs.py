"""Chunks and their prepared inputs, on which a network is trained and scored: computed once, or for every batch."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from train.data.augmentation import Crops
from train.data.chunks import Chunks
from train.data.splits import Split

BATCH = 64
Prepare = Callable[[Tensor], Tensor]  # `GenreNet.prepare`: chunks (batch, 66150) to inputs (batch, ...)


@dataclass(frozen=True)
class Inputs:
    """Chunks and the inputs prepared from them."""

    chunks: Chunks
    prepared: Tensor
    """Of the unchanged chunks, float32 (chunks, ...)."""
    augmented: Sequence[Tensor] = ()
    """Of augmented copies of all chunks: one tensor (chunks, ...) per copy."""
    crops: Crops | None = None
    """The source of augmented copies if they are made anew for every batch."""
    prepare: Prepare | None = None
    soft_target: Tensor | None = None
    """Targets that are no labels, float32 (chunks, labels); None for the labels."""

    def part(self, split: Split, part: str, *, augmented: bool = False) -> "Inputs":
        """The inputs of one part of the split; augmented copies are for training alone."""
        return self.subset(split.mask(self.chunks, part), augmented=augmented)

    def subset(self, mask: Tensor, *, augmented: bool = False) -> "Inputs":
        """The inputs where the mask, bool (chunks,), is true."""
        chunks = self.chunks.subset(mask)
        crops = replace(self.crops, chunks=chunks) if self.crops else None
        copies = [copy[mask] for copy in self.augmented] if augmented else []
        return replace(self, chunks=chunks, prepared=self.prepared[mask], augmented=copies, crops=crops)

    @torch.no_grad()
    def sample_batch(self, indices: Tensor, serial: int) -> Tensor:
        """Training inputs for the chunks at these indices, (batch, ...), each in a random copy.

        Args:
            indices: int64 (batch,).
            serial: the number of the first of them among all samples of the run; it makes every crop different.
        """
        if self.crops and self.prepare:
            crops = [self.crops[index, serial + offset] for offset, index in enumerate(indices.tolist())]
            return self.prepare(torch.stack(crops))
        copies = torch.stack([self.prepared[indices], *(copy[indices] for copy in self.augmented)])
        return copies[torch.randint(len(copies), (len(indices),)), torch.arange(len(indices))]


def prepare_all(chunks: Chunks, prepare: Prepare, crops: Crops | None = None, copies: int = 0) -> Inputs:
    """Prepare every chunk and, if there are crops, augmented copies of it.

    Args:
        chunks: the chunks.
        prepare: as `GenreNet.prepare`, on any device.
        crops: the source of augmented copies; None for no augmentation.
        copies: how many augmented copies of each chunk to keep in memory; 0 makes new ones for every batch.
    """
    prepared = _extract((waveform for waveform, _ in DataLoader(chunks, BATCH)), len(chunks), prepare, "features")
    if crops is None or not copies:
        return Inputs(chunks, prepared, crops=crops, prepare=prepare)
    augmented = []
    for copy in range(copies):
        keys = [(index, copy) for index in range(len(chunks))]
        loader = DataLoader(crops, BATCH, sampler=keys)
        augmented.append(_extract(loader, len(chunks), prepare, f"crops {copy + 1}/{copies}"))
    return Inputs(chunks, prepared, augmented)


@torch.inference_mode()
def _extract(batches: Iterable[Tensor], count: int, prepare: Prepare, title: str) -> Tensor:
    """Prepared inputs of `count` chunks, which come in batches (batch, 66150): float32 (chunks, ...), on the CPU."""
    with tqdm(total=count, desc=title, unit="chunk", disable=None) as bar:
        parts = []
        for waveform in batches:
            parts.append(prepare(waveform).cpu())
            bar.update(len(waveform))
    return torch.cat(parts)
