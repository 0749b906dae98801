"""Figures as PNG: confusion, calibration, accuracy by length, and the curve of training."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch

from train.metrics import reliability
from train.scores import Scores

mpl.use("Agg")

from matplotlib import pyplot as plt


@contextmanager
def _figure(path: Path, width: float = 6, height: float = 4.5) -> Iterator[Any]:
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    yield axes
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_all(figures: Mapping[str, Any], scores: Scores, output: Path) -> None:
    """Draws confusion.png, reliability.png and, where clips are long enough, seconds.png."""
    plot_confusion(figures, scores.labels, output / "confusion.png")
    plot_reliability(figures, scores, output / "reliability.png")
    if figures["by_seconds"]:
        plot_seconds(figures["by_seconds"], output / "seconds.png")


def plot_confusion(figures: Mapping[str, Any], labels: Sequence[str], path: Path) -> None:
    """Confusion matrix of clips, each row coloured by shares of its genre, with the counts in the cells."""
    confusion = torch.tensor(figures["confusion"])
    share = confusion / confusion.sum(dim=1, keepdim=True).clamp(min=1)
    with _figure(path, 7, 6) as axes:
        axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
        for row, column in confusion.nonzero().tolist():
            color = "white" if share[row, column] > 0.5 else "black"  # noqa: PLR2004
            axes.text(column, row, str(int(confusion[row, column])), ha="center", va="center", color=color)
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        title = f"{figures['tracks']} clips, {figures['track_accuracy']:.1%} right"
        axes.set(xlabel="answered", ylabel="labelled", title=title)


def plot_reliability(figures: Mapping[str, Any], scores: Scores, path: Path) -> None:
    """Share of clips that are right against their mean probability; on the diagonal, confidence is true."""
    confidence, right, count = zip(*reliability(scores), strict=True)
    with _figure(path, 5, 5) as axes:
        axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
        axes.plot(confidence, right, marker="o")
        for place in zip(confidence, right, count, strict=True):
            axes.annotate(f"{place[2]}", place[:2], textcoords="offset points", xytext=(6, -10))
        title = f"calibration error {figures['calibration_error']:.3f}, {figures['tracks']} clips"
        axes.set(xlabel="confidence", ylabel="share that is right", title=title, xlim=(0, 1), ylim=(0, 1))


def plot_seconds(accuracy: Mapping[str, float], path: Path) -> None:
    """Accuracy, averaged over genres, against seconds of audio."""
    with _figure(path) as axes:
        axes.plot([int(seconds) for seconds in accuracy], list(accuracy.values()), marker="o")
        axes.set(xlabel="seconds of audio", ylabel="right by vote, averaged over genres", ylim=(0, 1))
        axes.set_xticks([int(seconds) for seconds in accuracy])


def plot_curve(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Loss and accuracy of training and, where there are any, of validation clips, by epoch."""
    epochs = [figures["epoch"] for figures in history]
    with _figure(path) as axes:
        for name, style in [("train_loss", "C0--"), ("valid_loss", "C0-")]:
            if name in history[-1]:
                axes.plot(epochs, [figures[name] for figures in history], style, label=name.replace("_", " "))
        axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
        right = axes.twinx()
        for name, style in [("train_accuracy", "C1--"), ("valid_track_accuracy_macro", "C1-")]:
            if name in history[-1]:
                right.plot(epochs, [figures[name] for figures in history], style, label=name.replace("_", " "))
        right.set(ylabel="accuracy", ylim=(0, 1))
        lines = [*axes.get_lines(), *right.get_lines()]
        axes.legend(lines, [line.get_label() for line in lines], loc="lower left", fontsize="small")
