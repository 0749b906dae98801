"""Metrics of scores: accuracy with intervals, by genre and by length; calibration, temperature, threshold."""

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

from genre_classifier.audio import CHUNK_SECONDS
from train.evaluation.scores import Scores

RESAMPLES = 2000  # of the bootstrap
INTERVAL = (0.025, 0.975)  # 95 %
# With fewer clips, or with fewer a genre on average for the average over genres, an interval would promise too much.
MIN_INTERVAL_CLIPS, MIN_INTERVAL_CLIPS_PER_GENRE = 30, 5
LENGTHS = (1, 2, 4, 10)  # chunks: 3, 6, 12 and 30 seconds
BINS = 10  # of confidence, for the calibration error
UNRECOGNISED = 0.05  # share of the validation clips below the threshold of familiarity
CERTAIN_ACCURACY = 0.8  # of the clips that are not called uncertain
# Genres that are easily confused; the table names how often each pair is.
PAIRS = (("hiphop", "reggae"), ("disco", "pop"), ("classical", "jazz"), ("metal", "rock"))
TEMPERATURES = torch.logspace(-0.6, 0.6, 121, dtype=torch.float64)  # 0.25 to 4, steps of 2.3 %


def compute_metrics(scores: Scores, recognised: float | None = None) -> dict[str, Any]:
    """All metrics of the clips, ready for JSON.

    `macro` is the average over genres, in which rare genres count as much as frequent ones. `interval` is the 95 %
    interval of a bootstrap over clips; null where there are too few clips. `recognised` is the share of the clips whose
    familiarity is above the threshold of that name, if there is one.
    """
    count = len(scores.labels)
    voted, averaged, target = scores.genre("vote"), scores.genre("mean"), scores.target
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
        **_recognised(scores, recognised),
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
    enough = len(target) >= MIN_INTERVAL_CLIPS
    enough_each = enough and len(target) >= MIN_INTERVAL_CLIPS_PER_GENRE * int(present.sum())
    return {
        name: number(micro[0]),
        f"{name}_interval": _interval(_resample(found.sum()[None], clips.sum()[None])) if enough else None,
        f"{name}_macro": number(macro[0]),
        # Resampled within each genre, so that no genre is ever absent.
        f"{name}_macro_interval": _interval(_resample(found[present], clips[present])) if enough_each else None,
    }


def _recognised(scores: Scores, threshold: float | None) -> dict[str, float]:
    familiarity = scores.familiarity
    if familiarity is None or threshold is None:
        return {}
    return {"recognised": number((familiarity > threshold).double().mean())}


def _resample(right: Tensor, clips: Tensor) -> Tensor:
    """Mean accuracy of groups of clips, when the clips of each group are resampled with replacement: (RESAMPLES,).

    The number of right clips among n clips that are resampled from n is binomial.
    """
    # A fixed seed, so that the same scores always have the same intervals.
    generator = torch.Generator().manual_seed(0)
    counts = clips.double().expand(RESAMPLES, -1)
    return (torch.binomial(counts, (right / clips).double().expand_as(counts), generator) / clips).mean(dim=1)


def accuracies(right: Tensor, target: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Accuracy and its average over the genres present, both (rows,).

    Args:
        right: whether a clip is right, bool (rows, clips), or the share of its excerpts that are right, float.
        target: genres, int64 (rows, clips).
        count: number of genres.
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
    per_genre = {
        "precision": multiclass_precision(voted, target, count, average="none"),
        "recall": multiclass_accuracy(voted, target, count, average="none"),
        "f1": multiclass_f1_score(voted, target, count, average="none"),
    }
    return {
        label: {"clips": int(clips[index])} | {name: number(each[index]) for name, each in per_genre.items()}
        for index, label in enumerate(labels)
        if clips[index]
    }


def _pairs(confusion: Tensor, labels: Sequence[str]) -> dict[str, int]:
    """For each pair of similar genres, how many clips of one are classified as the other."""
    index_of = {label: index for index, label in enumerate(labels)}
    return {
        f"{one}/{other}": int(confusion[index_of[one], index_of[other]] + confusion[index_of[other], index_of[one]])
        for one, other in PAIRS
        if one in index_of and other in index_of
    }


def _by_seconds(scores: Scores) -> dict[str, float]:
    """Accuracy of excerpts by vote, averaged over genres, by their seconds; only of clips with ten chunks or more."""
    longest = LENGTHS[-1]
    whole = (torch.bincount(scores.chunk_clip) >= longest).nonzero()[:, 0]
    if not len(whole):
        return {}
    kept = torch.isin(scores.chunk_clip, whole)
    chunk_clip = torch.searchsorted(whole, scores.chunk_clip[kept])
    names = [scores.names[clip] for clip in whole.tolist()]
    same = Scores(scores.labels, names, scores.target[whole], chunk_clip, scores.chunk_log_probs[kept])
    by_seconds = {}
    for chunks in LENGTHS:
        excerpts, clip = same.excerpts(chunks)
        # A longer clip has more excerpts, but counts once.
        right = torch.zeros(len(whole)).index_add_(0, clip, (excerpts.genre() == excerpts.target).float())
        share = right / torch.bincount(clip)
        _, macro = accuracies(share[None], same.target[None], len(scores.labels))
        by_seconds[str(chunks * CHUNK_SECONDS)] = number(macro[0])
    return by_seconds


def log_loss(scores: Scores) -> Tensor:
    """Mean negative logarithm of the labelled genre's mean probability."""
    return -scores.mean.gather(1, scores.target[:, None]).clamp(min=1e-12).log().mean()


def fit_temperature(scores: Scores) -> float:
    """The temperature with the lowest log loss of the clips' mean probabilities, among `TEMPERATURES`.

    If every clip is right, the answer is 1: the lowest temperature would always win, which says nothing about other
    clips.
    """
    if (scores.genre("mean") == scores.target).all():
        return 1.0
    losses = torch.stack([log_loss(scores.tempered(float(each))) for each in TEMPERATURES])
    return number(TEMPERATURES[losses.argmin()])


def uncertain_below(scores: Scores) -> float:
    """The lowest confidence such that four of five clips at or above it are right; 1 if there is none."""
    confidence, order = scores.confidence.sort(descending=True)
    right = (scores.genre() == scores.target)[order].double()
    share = right.cumsum(0) / torch.arange(1, len(right) + 1)
    # A threshold cannot separate clips of equal confidence.
    last_of_equals = torch.cat([confidence[1:] < confidence[:-1], torch.tensor([True])])
    enough = torch.nonzero((share >= CERTAIN_ACCURACY) & last_of_equals)
    # Rounded down, so that the clip that sets the threshold is not below it.
    return math.floor(float(confidence[enough[-1, 0]]) * 1e6) / 1e6 if len(enough) else 1.0


def recognised_above(scores: Scores) -> float | None:
    """The familiarity that all but 5 % of the clips exceed; None for a network without familiarity."""
    familiarity = scores.familiarity
    return None if familiarity is None else number(familiarity.quantile(UNRECOGNISED))


def reliability(scores: Scores) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and number of clips, for each tenth of confidence that has clips."""
    confidence, answered = scores.mean.max(dim=1)
    right = (answered == scores.target).double()
    tenth = (confidence * BINS).long().clamp(max=BINS - 1)
    masks = [tenth == each for each in range(BINS)]
    return [(number(confidence[m].mean()), number(right[m].mean()), int(m.sum())) for m in masks if m.any()]


def number(value: Tensor) -> float:
    """A scalar, rounded to six digits."""
    return round(float(value), 6)
