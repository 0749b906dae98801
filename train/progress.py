"""What the runs of all trainers share: the checkpoint of their state, the metrics of an epoch, and resuming."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from train.config import Config
from train.errors import TrainingError
from train.evaluation.metrics import accuracies, number, recognised_above, uncertain_below
from train.evaluation.scores import Scores
from train.network.base import GenreNet
from train.network.checkpoint import Checkpoint, check_settings, load_checkpoint


def make_checkpoint(
    network: GenreNet,
    config: Config,
    history: list[dict[str, float]],
    valid: Scores | None,
    resume: dict[str, Any],
    **facts: Any,
) -> Checkpoint:
    """The state of a run, enough to classify with and enough to resume from.

    Args:
        network: as it is now, on any device.
        config: the recipe.
        history: the metrics of each epoch so far.
        valid: scores of the validation clips; None if there are none.
        resume: what the trainer needs to continue.
        facts: `labels` and the other fields of the checkpoint that are known beforehand.
    """
    return Checkpoint(
        model_state_dict={
            name: value.cpu().clone(memory_format=torch.contiguous_format)
            for name, value in network.classifier.state_dict().items()
        },
        net=config.net,
        mean=network.standardise.mean.cpu(),
        deviation=network.standardise.deviation.cpu(),
        uncertain_below=uncertain_below(valid) if valid else 0.0,
        recognised_above=recognised_above(valid) if valid else None,
        metrics={"valid": history[-1]} if valid else {},
        config=asdict(config),
        history=list(history),
        resume=resume,
        **facts,
    )


def load_last(path: Path, config: Config, more: Mapping[str, Any], facts: Mapping[str, Any]) -> Checkpoint:
    """The last.ckpt from which a run continues.

    Args:
        path: its path.
        config: the recipe that it must have been trained with.
        more: further settings that it must have been trained with, by their names in `Checkpoint.resume`.
        facts: fields of the checkpoint that must be the same too.

    Raises:
        TrainingError: it is no such checkpoint, or it was trained on other genres or with other settings.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.resume is None or not _is_history(checkpoint.history):
        raise TrainingError(f"{path} holds no state of a training run, so training cannot resume from it.")
    trained = checkpoint.config | {name: checkpoint.resume.get(name) for name in more}
    check_settings(path, trained, asdict(config) | dict(more))
    if any(getattr(checkpoint, name) != value for name, value in facts.items()):
        raise TrainingError(f"{path} was trained on other clips or another split; use the same to resume.")
    return checkpoint


def _is_history(history: list[dict[str, float]]) -> bool:
    """Whether every epoch has the same metrics, and those that choose the best epoch are among them."""
    names = history[-1].keys() if history else {"epoch"}
    is_whole = "epoch" in names and ("valid_loss" in names) == ("valid_track_accuracy_macro" in names)
    return is_whole and all(metrics.keys() == names for metrics in history)


def validation_metrics(scores: Scores) -> dict[str, float]:
    """Loss and accuracies of the validation clips, for the history."""
    right = scores.genre() == scores.target
    accuracy, macro = accuracies(right[None], scores.target[None], len(scores.labels))
    chunks = scores.chunk_log_probs.argmax(dim=1) == scores.chunk_target
    return {
        "valid_loss": number(nn.functional.nll_loss(scores.chunk_log_probs, scores.chunk_target)),
        "valid_chunk_accuracy": number(chunks.double().mean()),
        "valid_track_accuracy": number(accuracy[0]),
        "valid_track_accuracy_macro": number(macro[0]),
    }
