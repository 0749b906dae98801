"""Log-probabilities of chunks, and the genres of their clips that follow from them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader
from tqdm import tqdm

from genre_classifier.verdict import Aggregate, rank_genres
from train.data.chunks import Chunks
from train.data.inputs import Inputs
from train.errors import TrainingError
from train.network.base import GenreNet

BATCH = 64


class ChunkScores(NamedTuple):
    """What a model says of a batch of chunks."""

    log_probs: Tensor
    """(batch, labels)."""
    familiarity: Tensor | None
    """(batch,); None for a model without."""


@dataclass(frozen=True)
class Scores:
    """Log-probabilities of chunks, grouped by clip."""

    labels: list[str]
    names: list[str]
    """Of the clips."""
    target: Tensor
    """Genre of each clip, int64 (clips,)."""
    chunk_clip: Tensor
    """Index of each chunk's clip, int64 (chunks,), ascending."""
    chunk_log_probs: Tensor
    """(chunks, labels)."""
    chunk_familiarity: Tensor | None = None
    """(chunks,); None for a network without familiarity."""

    @property
    def chunk_target(self) -> Tensor:
        """Genre of each chunk, int64 (chunks,)."""
        return self.target[self.chunk_clip]

    @property
    def mean(self) -> Tensor:
        """Mean probability over each clip's chunks, float64 (clips, labels)."""
        return self._sum(self.chunk_log_probs.double().exp()) / torch.bincount(self.chunk_clip)[:, None]

    @property
    def votes(self) -> Tensor:
        """Number of each clip's chunks for which a genre is the most probable, int64 (clips, labels)."""
        return self._sum(one_hot(self.chunk_log_probs.argmax(dim=1), len(self.labels)))

    @property
    def familiarity(self) -> Tensor | None:
        """Mean familiarity of each clip's chunks, float64 (clips,)."""
        if self.chunk_familiarity is None:
            return None
        return self._sum(self.chunk_familiarity.double()[:, None])[:, 0] / torch.bincount(self.chunk_clip)

    def genre(self, aggregate: Aggregate = "vote") -> Tensor:
        """The genre of each clip, int64 (clips,), by the rules of `genre_classifier.verdict`."""
        return torch.from_numpy(rank_genres(self.votes.numpy(), self.mean.numpy(), aggregate)[:, 0])

    @property
    def confidence(self) -> Tensor:
        """Mean probability of each clip's genre by vote, float64 (clips,)."""
        return self.mean.gather(1, self.genre()[:, None])[:, 0]

    def tempered(self, temperature: float) -> "Scores":
        """The scores with the logits divided by a temperature."""
        return replace(self, chunk_log_probs=torch.log_softmax(self.chunk_log_probs / temperature, dim=1))

    def excerpts(self, chunks: int) -> tuple["Scores", Tensor]:
        """All excerpts of so many successive chunks, each as a clip of its own, and the indices of their clips."""
        counts = torch.bincount(self.chunk_clip)
        first = torch.cumsum(counts, 0) - counts
        starts = [
            (clip, int(first[clip]) + start)
            for clip, count in enumerate(counts.tolist())
            for start in range(count - chunks + 1)
        ]
        if not starts:
            raise TrainingError(f"None of these clips has {chunks} chunks.")
        clips, indices = torch.tensor(starts).unbind(1)
        excerpts = Scores(
            self.labels,
            [self.names[clip] for clip in clips.tolist()],
            self.target[clips],
            torch.arange(len(clips)).repeat_interleave(chunks),
            self.chunk_log_probs[(indices[:, None] + torch.arange(chunks)).flatten()],
        )
        return excerpts, clips

    def _sum(self, values: Tensor) -> Tensor:
        total = values.new_zeros(len(self.target), values.shape[1])
        return total.index_add(0, self.chunk_clip, values)


def pool(scores: Sequence[Scores]) -> Scores:
    """Scores of different clips, of one network or of several, as one."""
    offsets = torch.tensor([0, *(len(each.target) for each in scores[:-1])]).cumsum(0)
    familiarity = [each.chunk_familiarity for each in scores if each.chunk_familiarity is not None]
    return Scores(
        scores[0].labels,
        [name for each in scores for name in each.names],
        torch.cat([each.target for each in scores]),
        torch.cat([each.chunk_clip + offset for each, offset in zip(scores, offsets, strict=True)]),
        torch.cat([each.chunk_log_probs for each in scores]),
        torch.cat(familiarity) if len(familiarity) == len(scores) else None,
    )


@torch.inference_mode()
def score_inputs(network: GenreNet, inputs: Inputs, batch: int = 256) -> Scores:
    """Score prepared inputs; clips shorter than a chunk are never scored.

    Args:
        network: in evaluation mode, on any device.
        inputs: chunks and their prepared inputs.
        batch: chunks at a time.
    """
    device = network.temperature.device
    parts = torch.split(inputs.prepared[inputs.chunks.scored], batch)
    return _collect((chunk_scores(network, network.classify(part.to(device))) for part in parts), inputs.chunks)


def chunk_scores(network: GenreNet, outputs: tuple[Tensor, ...]) -> ChunkScores:
    """What scores need of a network's outputs, on the CPU."""
    named = dict(zip(network.outputs, outputs, strict=True))
    familiarity = named.get("familiarity")
    return ChunkScores(named["log_probs"].cpu(), None if familiarity is None else familiarity.cpu())


def score_chunks(classify: Callable[[Tensor], ChunkScores], chunks: Chunks) -> Scores:
    """Score chunks, all of which must be scored.

    Args:
        classify: as `Model.classify`.
        chunks: the chunks.
    """
    bar = tqdm(DataLoader(chunks, BATCH), "classifying", unit="batch", disable=None)
    return _collect((classify(waveform) for waveform, _ in bar), chunks)


def _collect(batches: Iterable[ChunkScores], chunks: Chunks) -> Scores:
    """Scores from those of all scored chunks, in batches and in order.

    Raises:
        TrainingError: no chunk is scored.
    """
    keep = chunks.scored
    if not keep.any():
        raise TrainingError("None of these clips is as long as a chunk of 3 seconds, so nothing can be scored.")
    clips, chunk_clip = torch.unique(chunks.clip[keep], return_inverse=True)
    target = torch.zeros(len(clips), dtype=torch.int64).scatter(0, chunk_clip, chunks.target[keep])
    names = [chunks.clips[clip].name for clip in clips.tolist()]
    log_probs, familiarity = zip(*batches, strict=True)
    known = familiarity[0] is not None
    return Scores(
        chunks.labels, names, target, chunk_clip, torch.cat(log_probs), torch.cat(familiarity) if known else None
    )
