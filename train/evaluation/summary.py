"""An evaluation for a person: tables on standard output, metrics.json and plots."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genre_classifier.atomic import replacing
from train.evaluation.metrics import compute_metrics
from train.evaluation.plots import plot_all
from train.evaluation.scores import Scores


def write_evaluation(
    scores: Mapping[str, Scores],
    output: Path,
    more: dict[str, Any] | None = None,
    recognised_above: float | None = None,
) -> dict[str, Any]:
    """Write metrics.json and the plots of the test clips, print a table for every part, and return the metrics.

    Args:
        scores: by part; one of them is "test".
        output: a folder, which is made if needed.
        more: further entries of metrics.json.
        recognised_above: the threshold of familiarity, for the share of clips above it.
    """
    metrics = {part: compute_metrics(each, recognised_above) for part, each in scores.items()}
    output.mkdir(parents=True, exist_ok=True)
    with replacing(output / "metrics.json") as unfinished:
        unfinished.write_text(json.dumps(metrics | (more or {}), indent=2) + "\n", encoding="utf-8")
    plot_all(metrics["test"], scores["test"], output)
    for part, each in metrics.items():
        print(f"\n{part}\n{table(each, scores[part].labels)}", flush=True)
    return metrics


def table(metrics: Mapping[str, Any], labels: Sequence[str]) -> str:
    """The metrics of one part as text."""
    width = max(len(label) for label in labels)
    lines = [
        _line(f"{metrics['tracks']} clips by vote", "track_accuracy", metrics)
        + f"; macro-F1 {metrics['track_macro_f1']:.3f}",
        _line("by mean probability", "track_accuracy_mean", metrics)
        + f"; calibration error {metrics['calibration_error']:.3f}",
        f"{metrics['chunks']} chunks of 3 seconds: accuracy {metrics['chunk_accuracy']:.1%}",
    ]
    if "recognised" in metrics:
        lines.append(f"recognised as music of these genres: {metrics['recognised']:.1%} of the clips")
    if metrics["by_seconds"]:
        accuracy = ", ".join(f"{seconds} s {share:.1%}" for seconds, share in metrics["by_seconds"].items())
        lines.append(f"by length, averaged over genres: {accuracy}")
    if metrics["pairs"]:
        lines.append("confused with each other: " + ", ".join(f"{pair} {n}" for pair, n in metrics["pairs"].items()))
    lines += [
        "",
        " " * width + "  recall  precision  " + " ".join(f"{label[:5]:>5}" for label in labels) + "   <- predicted",
    ]
    for label, row in zip(labels, metrics["confusion"], strict=True):
        genre = metrics["genres"].get(label)
        shares = f"{genre['recall']:7.0%} {genre['precision']:10.0%}" if genre else f"{'-':>7} {'-':>10}"
        lines.append(f"{label:>{width}} {shares}  " + " ".join(f"{count or '.':>5}" for count in row))
    return "\n".join(lines)


def _line(title: str, name: str, metrics: Mapping[str, Any]) -> str:
    return (
        f"{title}: accuracy {metrics[name]:.1%}{_interval(metrics[f'{name}_interval'])}, "
        f"averaged over genres {metrics[f'{name}_macro']:.1%}{_interval(metrics[f'{name}_macro_interval'])}"
    )


def _interval(ends: Sequence[float] | None) -> str:
    return " [{:.0%}, {:.0%}]".format(*ends) if ends else ""
