"""Chunks and their prepared inputs, on which a network is trained and scored: computed once, or for every batch."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from train.data.augmentation import Crops, Pieces, stretch
from train.data.chunks import Chunks
from train.data.splits import Split

BATCH = 64
WORKERS = 2  # processes that cut pieces for a GPU
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

    def sample_batches(
        self, batches: Sequence[Tensor], serials: Sequence[int], device: torch.device
    ) -> Iterator[Tensor]:
        """Training inputs on the device, (batch, ...), for each batch of chunks, each chunk in a random copy.

        Args:
            batches: indices of chunks, int64 (batch,).
            serials: for each batch, the number of its first sample among all of the run; it makes every crop different.
            device: on a GPU, crops are made there too, while the next ones are read.
        """
        if self.crops and self.prepare:
            keys = [
                [(index, serial + offset) for offset, index in enumerate(batch.tolist())]
                for batch, serial in zip(batches, serials, strict=True)
            ]
            for crops in _crops(self.crops, keys, device):
                with torch.no_grad():
                    prepared = self.prepare(crops)
                yield prepared
        else:
            for indices in batches:
                copies = torch.stack([self.prepared[indices], *(copy[indices] for copy in self.augmented)])
                chosen = copies[torch.randint(len(copies), (len(indices),)), torch.arange(len(indices))]
                yield to_device(chosen, device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; to a GPU by way of pinned memory, so that nothing waits for the copy."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _crops(crops: Crops, keys: list[list[tuple[int, int]]], device: torch.device) -> Iterator[Tensor]:
    """Crops (batch, 66150) by their keys, batch by batch, on the device."""
    # A generator of its own, since a loader would draw a number from PyTorch's, on which the rest of an epoch depends.
    own = torch.Generator()
    if device.type != "cuda":
        yield from DataLoader(crops, batch_sampler=keys, generator=own)
        return
    workers = WORKERS if sys.platform == "linux" else 0
    loader = DataLoader(Pieces(crops), batch_sampler=keys, generator=own, num_workers=workers, pin_memory=True)
    for pieces, speed, gain in loader:
        yield stretch(*(part.to(device, non_blocking=True) for part in (pieces, speed, gain)))


def prepare_all(chunks: Chunks, prepare: Prepare, crops: Crops | None = None, copies: int = 0) -> Inputs:
    """Prepare every chunk and, if there are crops, augmented copies of it.

    Args:
        chunks: the chunks.
        prepare: as `GenreNet.prepare`, on any device.
        crops: the source of augmented copies; None for no augmentation.
        copies: how many augmented copies of each chunk to keep in memory; 0 makes new ones for every batch.
    """
    whole = DataLoader(chunks, BATCH, pin_memory=torch.cuda.is_available())
    prepared = _extract((waveform for waveform, _ in whole), len(chunks), prepare, "features")
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
