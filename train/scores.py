"""Scores of chunks and of whole clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_f1_score,
)

from train.data import Chunks
from train.errors import TrainingError
from train.model import GenreNet

RIGHT_SHARE = 0.8  # of the clips at or above the confidence that is not called uncertain


@dataclass(frozen=True)
class Scores:
    """What a network says of a set of chunks, and of the clips they belong to."""

    labels: Sequence[str]
    chunk_log_probs: Tensor
    """(chunks, labels)."""
    chunk_target: Tensor
    target: Tensor
    """Genre of each clip, int64 (clips,)."""
    mean: Tensor
    """Mean probability over each clip's chunks, (clips, labels)."""
    votes: Tensor
    """How many chunks of each clip chose each genre, (clips, labels)."""

    @property
    def voted(self) -> Tensor:
        """Genre by vote, ties to the higher mean, then to label order: int64 (clips,)."""
        # A mean under one never outweighs a vote, and argmax takes the first of equals.
        return (self.votes.double() + 0.999 * self.mean.double()).argmax(dim=1)

    @property
    def confidence(self) -> Tensor:
        """Mean probability of the genre voted for, (clips,)."""
        return self.mean.gather(1, self.voted[:, None])[:, 0]

    def metrics(self) -> dict[str, Any]:
        """Accuracies as JSON; `macro` averages over genres, so that many clips of one do not hide another."""
        count = len(self.labels)
        voted = self.voted
        chunk_genre = self.chunk_log_probs.argmax(dim=1)
        confusion = multiclass_confusion_matrix(voted, self.target, num_classes=count)
        present = confusion.sum(dim=1) > 0
        recall = confusion.diag() / confusion.sum(dim=1).clamp(min=1)
        return {
            "tracks": len(self.target),
            "track_accuracy": _number(multiclass_accuracy(voted, self.target, count, average="micro")),
            "track_accuracy_macro": _number(recall[present].double().mean()),
            "track_accuracy_mean": _number(
                multiclass_accuracy(self.mean.argmax(dim=1), self.target, count, average="micro")
            ),
            "track_macro_f1": _number(multiclass_f1_score(voted, self.target, count, average="macro")),
            "chunks": len(self.chunk_target),
            "chunk_accuracy": _number(multiclass_accuracy(chunk_genre, self.chunk_target, count, average="micro")),
            "recall": {
                label: _number(recall[index]) for index, label in enumerate(self.labels) if bool(present[index])
            },
            "confusion": confusion.tolist(),
        }


def pool(scores: Sequence[Scores]) -> Scores:
    """Scores of different clips, of one network or of several, as one."""
    tensors = ("chunk_log_probs", "chunk_target", "target", "mean", "votes")
    return Scores(scores[0].labels, *(torch.cat([getattr(each, name) for each in scores]) for name in tensors))


@torch.inference_mode()
def score(network: GenreNet, features: Tensor, chunks: Chunks, batch: int = 256) -> Scores:
    """Scores the chunks that serving would cut; excerpts shorter than a chunk are never scored.

    Args:
        network: in evaluation mode, on any device.
        features: float32 (chunks, 5, 40, 130).
        chunks: what the features were taken of.
        batch: chunks at a time.
    """
    device = network.temperature.device
    keep = chunks.scored
    parts = [network.classify(part.to(device))[0].cpu() for part in torch.split(features[keep], batch)]
    if not parts or not keep.any():
        raise TrainingError(
            "None of these clips is as long as a chunk of 3 seconds, so that there is nothing to score."
        )
    log_probs = torch.cat(parts)
    clips, clip = torch.unique(chunks.clip[keep], return_inverse=True)
    target = torch.zeros(len(clips), dtype=torch.int64).scatter(0, clip, chunks.target[keep])
    votes = torch.nn.functional.one_hot(log_probs.argmax(dim=1), len(chunks.labels)).to(log_probs.dtype)
    totals = torch.zeros(2, len(clips), len(chunks.labels))
    totals.index_add_(1, clip, torch.stack([log_probs.exp(), votes]))
    return Scores(
        labels=chunks.labels,
        chunk_log_probs=log_probs,
        chunk_target=chunks.target[keep],
        target=target,
        mean=totals[0] / torch.bincount(clip)[:, None],
        votes=totals[1],
    )


def uncertain_below(scores: Scores) -> float:
    """Least confidence at which four of five clips, of those at it or above, are right; 1 where there is none."""
    confidence, order = scores.confidence.sort(descending=True)
    right = (scores.voted == scores.target)[order].double()
    share = right.cumsum(0) / torch.arange(1, len(right) + 1)
    enough = torch.nonzero(share >= RIGHT_SHARE)
    return _number(confidence[enough[-1, 0]]) if len(enough) else 1.0


def table(metrics: dict[str, Any], labels: Sequence[str]) -> str:
    """The metrics for a person: figures, recall by genre, and which genre was taken for which."""
    width = max(len(label) for label in labels)
    lines = [
        (
            f"{metrics['tracks']} clips: {metrics['track_accuracy']:.1%} right by vote, "
            f"{metrics['track_accuracy_macro']:.1%} averaged over genres, "
            f"{metrics['track_accuracy_mean']:.1%} by mean probability, macro-F1 {metrics['track_macro_f1']:.3f}"
        ),
        f"{metrics['chunks']} chunks of 3 seconds: {metrics['chunk_accuracy']:.1%} right",
        "",
        " " * width + "  recall  " + " ".join(f"{label[:5]:>5}" for label in labels) + "   <- answered",
    ]
    for label, row in zip(labels, metrics["confusion"], strict=True):
        recall = f"{metrics['recall'][label]:7.0%}" if label in metrics["recall"] else "      -"
        lines.append(f"{label:>{width}} {recall}  " + " ".join(f"{count or '.':>5}" for count in row))
    return "\n".join(lines)


def plot_confusion(metrics: dict[str, Any], labels: Sequence[str], path: Path) -> None:
    """Draws the confusion matrix of clips, each row in shares of its genre, with the counts in the cells."""
    import matplotlib as mpl  # noqa: PLC0415 - a second of import that only a finished run needs

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    confusion = torch.tensor(metrics["confusion"])
    share = confusion / confusion.sum(dim=1, keepdim=True).clamp(min=1)
    figure, axes = plt.subplots(figsize=(7, 6), layout="constrained")
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in _cells(confusion):
        axes.text(column, row, str(count), ha="center", va="center", color="white" if share[row, column] > 0.5 else "k")  # noqa: PLR2004
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="answered", ylabel="labelled", title=f"{metrics['tracks']} clips, {metrics['track_accuracy']:.1%}")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _cells(confusion: Tensor) -> list[tuple[tuple[int, int], int]]:
    return [((row, column), int(confusion[row, column])) for row, column in confusion.nonzero().tolist()]


def _number(value: Tensor) -> float:
    return round(float(value), 6)
