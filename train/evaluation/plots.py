"""Plots as PNG: confusion, calibration, accuracy by length, and the training curve."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch

from genre_classifier.atomic import replacing
from train.evaluation.metrics import reliability
from train.evaluation.scores import Scores

mpl.use("Agg")  # draws without a display

from matplotlib import pyplot as plt

DARK = 0.5  # a cell whose share is higher has white text


@contextmanager
def _figure(path: Path, width: float = 6, height: float = 4.5) -> Iterator[Any]:
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    try:
        yield axes
        with replacing(path) as part:
            figure.savefig(part, dpi=120, format="png")
    finally:
        plt.close(figure)


def plot_all(metrics: Mapping[str, Any], scores: Scores, output: Path) -> None:
    """Write confusion.png, reliability.png and, if clips are long enough, seconds.png."""
    plot_confusion(metrics, scores.labels, output / "confusion.png")
    plot_reliability(metrics, scores, output / "reliability.png")
    if metrics["by_seconds"]:
        plot_seconds(metrics["by_seconds"], output / "seconds.png")


def plot_confusion(metrics: Mapping[str, Any], labels: Sequence[str], path: Path) -> None:
    """Confusion matrix of clips: the count in each cell, coloured by its share of the row's genre."""
    confusion = torch.tensor(metrics["confusion"])
    share = confusion / confusion.sum(dim=1, keepdim=True).clamp(min=1)
    with _figure(path, 7, 6) as axes:
        axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
        for row, column in confusion.nonzero().tolist():
            color = "white" if share[row, column] > DARK else "black"
            axes.text(column, row, str(int(confusion[row, column])), ha="center", va="center", color=color)
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        title = f"{metrics['tracks']} clips, accuracy {metrics['track_accuracy']:.1%}"
        axes.set(xlabel="predicted", ylabel="labelled", title=title)


def plot_reliability(metrics: Mapping[str, Any], scores: Scores, path: Path) -> None:
    """Accuracy of clips against their mean probability; calibrated scores lie on the diagonal."""
    confidence, right, count = zip(*reliability(scores), strict=True)
    with _figure(path, 5, 5) as axes:
        axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
        axes.plot(confidence, right, marker="o")
        for *point, clips in zip(confidence, right, count, strict=True):
            axes.annotate(f"{clips}", point, textcoords="offset points", xytext=(6, -10))
        title = f"calibration error {metrics['calibration_error']:.3f}, {metrics['tracks']} clips"
        axes.set(xlabel="confidence", ylabel="accuracy", title=title, xlim=(0, 1), ylim=(0, 1))


def plot_seconds(accuracy: Mapping[str, float], path: Path) -> None:
    """Accuracy by vote, averaged over genres, against seconds of audio."""
    with _figure(path) as axes:
        axes.plot([int(seconds) for seconds in accuracy], list(accuracy.values()), marker="o")
        axes.set(xlabel="seconds of audio", ylabel="accuracy by vote, averaged over genres", ylim=(0, 1))
        axes.set_xticks([int(seconds) for seconds in accuracy])


def plot_curve(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Loss and accuracy on training and, if there are any, on validation clips, by epoch."""
    epochs = [metrics["epoch"] for metrics in history]
    with _figure(path) as axes:
        for name, style in [("train_loss", "C0--"), ("valid_loss", "C0-")]:
            if name in history[-1]:
                axes.plot(epochs, [metrics[name] for metrics in history], style, label=name.replace("_", " "))
        axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
        right = axes.twinx()
        for name, style in [("train_accuracy", "C1--"), ("valid_track_accuracy_macro", "C1-")]:
            if name in history[-1]:
                right.plot(epochs, [metrics[name] for metrics in history], style, label=name.replace("_", " "))
        right.set(ylabel="accuracy", ylim=(0, 1))
        lines = [*axes.get_lines(), *right.get_lines()]
        axes.legend(lines, [line.get_label() for line in lines], loc="lower left", fontsize="small")
