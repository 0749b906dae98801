"""A teacher: a network that is solved at once gives soft targets to one that is trained in epochs."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from train.data.chunks import UNLABELLED, Chunks
from train.data.clips import Clip, Waveform, decode_clips, find_unlabelled
from train.data.fingerprints import find_duplicates
from train.data.inputs import Inputs, prepare_all
from train.data.splits import Split
from train.network.table import NETWORKS, build_network

LABEL_SHARE = 0.3  # of the label in the target of a labelled chunk; the rest is the teacher's


class Teacher:
    """Targets of another network (knowledge distillation; Hinton, Vinyals and Dean 2015)."""

    def __init__(self, name: str, chunks: Chunks, device: torch.device) -> None:
        """Prepare all chunks, those without a label too, for the network of that name."""
        self.name = name
        self.network = build_network(name, len(chunks.labels)).to(device).eval()
        self.prepared = prepare_all(chunks, lambda waveform: self.network.prepare(waveform.to(device))).prepared
        self.network.cpu()

    def teach(self, inputs: Inputs, split: Split) -> Inputs:
        """The chunks that train, and all without a label, with targets of a teacher that has learned from the former.

        So the teacher knows no more of the other parts than its pupil does.
        """
        labels, trains = inputs.chunks.labels, split.mask(inputs.chunks, "train")
        fit = import_module(NETWORKS[self.name].solver).fit
        fit(self.network, self.prepared[trains], inputs.chunks.target[trains], labels)
        unlabelled = inputs.chunks.target == UNLABELLED
        taught = inputs.subset(trains | unlabelled, augmented=True)
        with torch.no_grad():
            probabilities: Tensor = self.network.classify(self.prepared[trains | unlabelled])[0].exp()
        known = (taught.chunks.target != UNLABELLED)[:, None]
        target = torch.where(known[:, 0], taught.chunks.target, probabilities.argmax(dim=1))
        share = LABEL_SHARE * known
        soft = share * one_hot(target, len(labels)) + (1 - share) * probabilities
        # The teacher's genre balances the chunks that have no other.
        return replace(taught, chunks=taught.chunks.relabelled(target), soft_target=soft)


class Decoded(NamedTuple):
    """Clips and their waveforms."""

    clips: list[Clip]
    waveforms: list[Waveform]


def decode_unlabelled(folder: Path | None, others: Sequence[Waveform]) -> Decoded:
    """The clips in a folder of music without labels, none if there is no folder; each recording once.

    Raises:
        TrainingError: the folder has none.
    """
    if folder is None:
        return Decoded([], [])
    clips, waveforms = decode_clips(find_unlabelled(folder))
    copies = {other - len(others) for _, other in find_duplicates([*others, *waveforms])}
    kept = [index for index in range(len(clips)) if index not in copies]
    for index in sorted(set(range(len(clips))) - set(kept)):
        print(f"left out: {clips[index].path}, a recording that is there already", file=sys.stderr)
    return Decoded([clips[index] for index in kept], [waveforms[index] for index in kept])
