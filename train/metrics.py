"""Figures of scores: accuracies with their intervals, by genre and by length, calibration, temperature, threshold."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
)

from audio import CHUNK_SECONDS
from train.scores import Scores

RESAMPLES = 2000  # of the bootstrap
INTERVAL = (0.025, 0.975)  # 95 %
LENGTHS = (1, 2, 4, 10)  # chunks: 3, 6, 12 and 30 seconds
BINS = 10  # of confidence, for calibration
RIGHT_SHARE = 0.8  # of the clips at or above the confidence that is not called uncertain
# Genres that are near each other; what is taken for the other of a pair is named.
PAIRS = (("hiphop", "reggae"), ("disco", "pop"), ("classical", "jazz"), ("metal", "rock"))
TEMPERATURES = torch.logspace(-0.6, 0.6, 121, dtype=torch.float64)  # 0.25 to 4, steps of 2.3 %


def metrics(scores: Scores) -> dict[str, Any]:
    """All figures, as JSON; `macro` averages over genres, so that many clips of one do not hide another.

    `interval` is of 95 %, by bootstrap over clips.
    """
    count = len(scores.labels)
    voted, averaged, target = scores.voted, scores.mean.argmax(dim=1), scores.target
    confusion = multiclass_confusion_matrix(voted, target, num_classes=count)
    chunk_genre = scores.chunk_log_probs.argmax(dim=1)
    return {
        "tracks": len(target),
        **_accuracies("track_accuracy", voted, target, count),
        **_accuracies("track_accuracy_mean", averaged, target, count),
        "track_macro_f1": number(multiclass_f1_score(voted, target, count, average="macro")),
        "chunks": len(scores.chunk_clip),
        "chunk_accuracy": number(multiclass_accuracy(chunk_genre, scores.chunk_target, count, average="micro")),
        "calibration_error": number(multiclass_calibration_error(scores.mean, target, count, n_bins=BINS)),
        "negative_log_likelihood": number(log_loss(scores)),
        "genres": _genres(voted, target, scores.labels),
        "confusion": confusion.tolist(),
        "pairs": _pairs(confusion, scores.labels),
        "by_seconds": _by_seconds(scores),
    }


def _accuracies(name: str, answered: Tensor, target: Tensor, count: int) -> dict[str, Any]:
    right = answered == target
    micro, macro = accuracies(right[None], target[None], count)
    clips = torch.bincount(target, minlength=count)
    found = torch.bincount(target[right], minlength=count)
    present = clips > 0
    return {
        name: number(micro[0]),
        f"{name}_interval": _interval(_resample(found.sum()[None], clips.sum()[None])),
        f"{name}_macro": number(macro[0]),
        # Within each genre, so that none is ever absent.
        f"{name}_macro_interval": _interval(_resample(found[present], clips[present])),
    }


def _resample(right: Tensor, clips: Tensor) -> Tensor:
    """Mean of the shares that are right of groups of clips, each drawn anew with replacement: (RESAMPLES,).

    How many of n clips drawn from n are right is binomial.
    """
    # With one seed, so that the same scores have the same intervals.
    chance = torch.Generator().manual_seed(0)
    counts = clips.double().expand(RESAMPLES, -1)
    return (torch.binomial(counts, (right / clips).double().expand_as(counts), chance) / clips).mean(dim=1)


def accuracies(right: Tensor, target: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Accuracy and its average over the genres present, of each row of right and target, both (rows, clips).

    Right is bool, or the share of a clip's excerpts that are.
    """
    genre = torch.nn.functional.one_hot(target, count).double()
    clips = genre.sum(dim=1)
    recall = (genre * right[..., None]).sum(dim=1) / clips.clamp(min=1)
    return right.double().mean(dim=1), recall.sum(dim=1) / (clips > 0).sum(dim=1)


def _interval(values: Tensor) -> list[float]:
    return [number(each) for each in values.quantile(torch.tensor(INTERVAL, dtype=values.dtype))]


def _genres(voted: Tensor, target: Tensor, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    count = len(labels)
    clips = torch.bincount(target, minlength=count)
    figures = {
        "precision": multiclass_precision(voted, target, count, average="none"),
        "recall": multiclass_accuracy(voted, target, count, average="none"),
        "f1": multiclass_f1_score(voted, target, count, average="none"),
    }
    return {
        label: {"clips": int(clips[index])} | {name: number(each[index]) for name, each in figures.items()}
        for index, label in enumerate(labels)
        if clips[index]
    }


def _pairs(confusion: Tensor, labels: Sequence[str]) -> dict[str, int]:
    """Clips of either genre of a pair that are taken for the other."""
    places = {label: index for index, label in enumerate(labels)}
    return {
        f"{one}/{other}": int(confusion[places[one], places[other]] + confusion[places[other], places[one]])
        for one, other in PAIRS
        if one in places and other in places
    }


def _by_seconds(scores: Scores) -> dict[str, float]:
    """Accuracy of excerpts by vote, averaged over genres, by their seconds; of clips that have ten chunks alone."""
    longest = LENGTHS[-1]
    whole = (torch.bincount(scores.chunk_clip) >= longest).nonzero()[:, 0]
    if not len(whole):
        return {}
    kept = torch.isin(scores.chunk_clip, whole)
    chunk_clip = torch.searchsorted(whole, scores.chunk_clip[kept])
    names = [scores.names[clip] for clip in whole.tolist()]
    same = Scores(scores.labels, names, scores.target[whole], chunk_clip, scores.chunk_log_probs[kept])
    figures = {}
    for chunks in LENGTHS:
        excerpts, clip = same.excerpts(chunks)
        # A longer clip has more excerpts, and counts no more for it.
        right = torch.zeros(len(whole)).index_add_(0, clip, (excerpts.voted == excerpts.target).float())
        share = right / torch.bincount(clip)
        _, macro = accuracies(share[None], same.target[None], len(scores.labels))
        figures[str(chunks * CHUNK_SECONDS)] = number(macro[0])
    return figures


def log_loss(scores: Scores) -> Tensor:
    """Mean of -log of the probability that the clip-level mean gives the labelled genre."""
    return -scores.mean.gather(1, scores.target[:, None]).clamp(min=1e-12).log().mean()


def fit_temperature(scores: Scores) -> float:
    """The temperature, of those tried, at which the clip-level mean is the least surprised by the labels.

    One where no clip is wrong: then no sharpness would be too much, and that says nothing about other clips.
    """
    if (scores.mean.argmax(dim=1) == scores.target).all():
        return 1.0
    losses = torch.stack([log_loss(scores.tempered(float(each))) for each in TEMPERATURES])
    return number(TEMPERATURES[losses.argmin()])


def uncertain_below(scores: Scores) -> float:
    """Least confidence at which four of five clips, of those at it or above, are right; 1 where there is none."""
    confidence, order = scores.confidence.sort(descending=True)
    right = (scores.voted == scores.target)[order].double()
    share = right.cumsum(0) / torch.arange(1, len(right) + 1)
    # Clips of one confidence stand or fall together.
    last_of_equals = torch.cat([confidence[1:] < confidence[:-1], torch.tensor([True])])
    enough = torch.nonzero((share >= RIGHT_SHARE) & last_of_equals)
    # Rounded down, or the clip that sets it would lie below.
    return math.floor(float(confidence[enough[-1, 0]]) * 1e6) / 1e6 if len(enough) else 1.0


def reliability(scores: Scores) -> list[tuple[float, float, int]]:
    """Mean confidence, share that is right and number of clips in each tenth of confidence that has any."""
    confidence, answered = scores.mean.max(dim=1)
    right = (answered == scores.target).double()
    place = (confidence * BINS).long().clamp(max=BINS - 1)
    masks = [place == each for each in range(BINS)]
    return [(number(confidence[m].mean()), number(right[m].mean()), int(m.sum())) for m in masks if m.any()]


def number(value: Tensor) -> float:
    """A scalar, to six digits."""
    return round(float(value), 6)


def table(figures: dict[str, Any], labels: Sequence[str]) -> str:
    """The metrics for a person."""
    width = max(len(label) for label in labels)
    lines = [
        _line(f"{figures['tracks']} clips by vote", "track_accuracy", figures)
        + f"; macro-F1 {figures['track_macro_f1']:.3f}",
        _line("by mean probability", "track_accuracy_mean", figures)
        + f"; calibration error {figures['calibration_error']:.3f}",
        f"{figures['chunks']} chunks of 3 seconds: {figures['chunk_accuracy']:.1%} right",
    ]
    if figures["by_seconds"]:
        accuracy = ", ".join(f"{seconds} s {share:.1%}" for seconds, share in figures["by_seconds"].items())
        lines.append(f"by length, averaged over genres: {accuracy}")
    if figures["pairs"]:
        lines.append("taken for each other: " + ", ".join(f"{pair} {n}" for pair, n in figures["pairs"].items()))
    lines += [
        "",
        " " * width + "  recall  precision  " + " ".join(f"{label[:5]:>5}" for label in labels) + "   <- answered",
    ]
    for label, row in zip(labels, figures["confusion"], strict=True):
        genre = figures["genres"].get(label)
        shares = f"{genre['recall']:7.0%} {genre['precision']:10.0%}" if genre else f"{'-':>7} {'-':>10}"
        lines.append(f"{label:>{width}} {shares}  " + " ".join(f"{count or '.':>5}" for count in row))
    return "\n".join(lines)


def _line(title: str, name: str, figures: dict[str, Any]) -> str:
    (low, high), (macro_low, macro_high) = figures[f"{name}_interval"], figures[f"{name}_macro_interval"]
    return (
        f"{title}: {figures[name]:.1%} right [{low:.0%}, {high:.0%}], "
        f"{figures[f'{name}_macro']:.1%} averaged over genres [{macro_low:.0%}, {macro_high:.0%}]"
    )
