"""From chunks to what a classifier is trained on and scored by: computed once, or anew for every batch."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from train.augment import Crops
from train.data import Chunks
from train.splits import Split

BATCH = 64
Prepare = Callable[[Tensor], Tensor]  # chunks (batch, 66150) to what `GenreNet.prepare` makes of them


@dataclass(frozen=True)
class Inputs:
    """Chunks, and what is made of them."""

    chunks: Chunks
    prepared: Tensor
    """Of the chunks as serving cuts them, float32 (chunks, ...)."""
    takes: Sequence[Tensor] = ()
    """Of changed copies of all chunks, as many tensors (chunks, ...) as there are copies."""
    crops: Crops | None = None
    """Where changed copies are made anew for every batch instead."""
    prepare: Prepare | None = None

    def part(self, split: Split, part: str) -> "Inputs":
        """Those of a part of the split; changed copies only of what trains."""
        mask = split.mask(self.chunks, part)
        chunks = self.chunks.subset(mask)
        crops = replace(self.crops, chunks=chunks) if self.crops else None
        takes = [take[mask] for take in self.takes] if part == "train" else []
        return replace(self, chunks=chunks, prepared=self.prepared[mask], takes=takes, crops=crops)

    @torch.no_grad()
    def draw(self, index: Tensor, serial: int) -> Tensor:
        """What to train on for the chunks at these positions, (batch, ...).

        Args:
            index: int64 (batch,).
            serial: of the first of them among all draws of the run, so that no two crops are the same.
        """
        if self.crops and self.prepare:
            crops = [self.crops[place, serial + offset] for offset, place in enumerate(index.tolist())]
            return self.prepare(torch.stack(crops))
        choices = torch.stack([self.prepared[index], *(take[index] for take in self.takes)])
        return choices[torch.randint(len(choices), (len(index),)), torch.arange(len(index))]


def prepare_all(chunks: Chunks, prepare: Prepare, crops: Crops | None = None, cache: int = 0) -> Inputs:
    """Prepares every chunk; and so many changed copies of each, or with a cache of none a way to make them.

    Args:
        chunks: as serving cuts them.
        prepare: as `GenreNet.prepare`, on any device.
        crops: where changed copies come from; None for none.
        cache: how many of each chunk to keep.
    """
    prepared = extract((waveform for waveform, _ in DataLoader(chunks, BATCH)), len(chunks), prepare, "features")
    if crops is None or not cache:
        return Inputs(chunks, prepared, crops=crops, prepare=prepare)
    takes = []
    for take in range(cache):
        keys = [(place, take) for place in range(len(chunks))]
        loader = DataLoader(crops, BATCH, sampler=keys)
        takes.append(extract(loader, len(chunks), prepare, f"crops {take + 1}/{cache}"))
    return Inputs(chunks, prepared, takes)


@torch.inference_mode()
def extract(batches: Iterable[Tensor], count: int, prepare: Prepare, title: str) -> Tensor:
    """What is made of all chunks, in batches (batch, 66150) of `BATCH`: float32 (chunks, ...), on the CPU."""
    with tqdm(total=count, desc=title, unit="chunk", disable=None) as bar:
        parts = []
        for waveform in batches:
            parts.append(prepare(waveform).cpu())
            bar.update(len(waveform))
    return torch.cat(parts)
