"""The checkpoint: one dict in one file, with the weights, their training data and their accuracy."""

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Tensor

from genre_classifier.atomic import replacing
from train.errors import TrainingError
from train.network.base import GenreNet
from train.network.table import NETWORKS, build_network

GTZAN_LABELS = ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"]
RENAMED = {"original": "cnn"}  # networks that version 0.1.0 called differently
SINCE_0_2_0 = {"recognised_above"}  # fields that a checkpoint of version 0.1.0 lacks
REMOVED = {"statistics"}  # networks that only version 0.1.0 has

IMPOSSIBLE = "{} is a checkpoint that contains impossible values: {}."


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and the facts about it. The defaults are those of the original project's checkpoint."""

    model_state_dict: dict[str, Tensor]
    """Of the classifier, under the original project's key and names."""
    labels: list[str] = field(default_factory=lambda: list(GTZAN_LABELS))
    mean: Tensor | None = None
    """Of the classifier's inputs in training, in the shape of its `Standardise`; None for inputs as they are."""
    deviation: Tensor | None = None
    temperature: float = 1.0
    uncertain_below: float = 0.0
    """A clip whose confidence is lower is called uncertain."""
    recognised_above: float | None = None
    """A clip whose familiarity is not higher is not recognised; None for a network without familiarity."""
    net: str = "cnn"
    """Name of the network in `train.network.table`."""
    trained_on: str = ""
    split_sha256: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    """One dict of metrics per epoch."""
    resume: dict[str, Any] | None = None
    """State of optimiser, schedule and scaler, if training can continue from here."""

    def save(self, path: Path) -> None:
        """Write the file.

        Raises:
            OSError: it cannot be written; what was there before stays whole.
        """
        save_tensors(vars(self), path)

    def impossible(self) -> list[str]:
        """Names of the fields whose values training cannot have written."""
        weights = self.model_state_dict.values()
        mean, deviation = self.mean, self.deviation
        possible = {
            "model_state_dict": all(map(_is_finite, weights)),
            "labels": len(set(self.labels)) == len(self.labels) > 0 and all(self.labels),
            "mean": (mean is None) == (deviation is None) and (mean is None or _is_finite(mean)),
            "deviation": deviation is None or (_is_finite(deviation) and bool((deviation > 0).all())),
            "temperature": 0 < self.temperature < math.inf,
            "uncertain_below": math.isfinite(self.uncertain_below),
            "recognised_above": self.recognised_above is None or math.isfinite(self.recognised_above),
            "net": self.net in NETWORKS,
            "metrics": _is_json(self.metrics),
        }
        return [name for name, is_possible in possible.items() if not is_possible]

    def network(self) -> GenreNet:
        """The network with these weights, in evaluation mode, on the CPU."""
        network = build_network(self.net, len(self.labels))
        network.classifier.load_state_dict(self.model_state_dict)
        if self.mean is not None and self.deviation is not None:
            network.standardise.load_state_dict({"mean": self.mean, "deviation": self.deviation})
        network.temperature.fill_(self.temperature)
        return network.eval()


TYPES: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
    for name, hint in get_type_hints(Checkpoint).items()
}


def save_tensors(content: Mapping[str, Any], path: Path) -> None:
    """Write a dict that holds tensors.

    Raises:
        OSError: it cannot be written; what was there before stays whole.
    """
    # In memory first: on a full disk, torch.save itself would raise an error of its own kind.
    written = io.BytesIO()
    torch.save(dict(content), written)
    with replacing(path) as part:
        part.write_bytes(written.getbuffer())


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint of this project, of any version, or of the original project. Never runs code from the file.

    Raises:
        TrainingError: the file is missing, or it is something else.
    """
    checkpoint = _read(path)
    if checkpoint.net in REMOVED:
        raise TrainingError(f"{path} is of the network {checkpoint.net}, which only version 0.1.0 has; train again.")
    if impossible := checkpoint.impossible():
        raise TrainingError(IMPOSSIBLE.format(path, ", ".join(impossible)))
    try:
        checkpoint.network()
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:  # by load_state_dict: names, shapes, kinds
        count = len(checkpoint.labels)
        raise TrainingError(
            f"{path} is a checkpoint whose weights do not fit its network, {checkpoint.net} for {count} labels."
        ) from error
    return checkpoint


def _read(path: Path) -> Checkpoint:
    """The fields of the file, each of its type."""
    try:
        with path.open("rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f"There is no checkpoint {path}.") from error
    except Exception as error:  # unpickling an arbitrary file can raise anything
        reason = f"cannot be read: {error.strerror}" if isinstance(error, OSError) and error.filename else ""
        raise TrainingError(f"{path} {reason or 'is not a checkpoint of this network'}.") from error
    if not isinstance(content, dict) or "model_state_dict" not in content:
        raise TrainingError(f"{path} is not a checkpoint of this network.")
    known = {name: value for name, value in content.items() if name in TYPES}
    missing = [name for name in TYPES if name not in known and name not in SINCE_0_2_0]
    if missing and len(known) > 1:  # the original project's has the weights alone
        raise TrainingError(f"{path} is a checkpoint that lacks {', '.join(missing)}.")
    if wrong := [name for name, value in known.items() if not _is_of_type(name, value)]:
        raise TrainingError(IMPOSSIBLE.format(path, ", ".join(wrong)))
    for settings in (known, known.get("config", {})):
        for old, new in RENAMED.items():
            if settings.get("net") == old:
                settings["net"] = new
    return Checkpoint(**known)


def _is_of_type(name: str, value: object) -> bool:
    try:
        TYPES[name].validate_python(value)
    except ValidationError:
        return False
    return True


def _is_finite(tensor: Tensor) -> bool:
    try:
        return not tensor.is_complex() and bool(torch.isfinite(tensor).all())
    except RuntimeError:  # a sparse or quantised one
        return False


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def check_settings(path: Path, trained: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Check that the checkpoint at a path was trained with the wanted settings, so that training may continue from it.

    Raises:
        TrainingError: it was not; the message names the settings that differ.
    """
    if other := [name for name in wanted if trained.get(name) != wanted[name]]:
        raise TrainingError(f"{path} was trained with another {' and '.join(other)}; use the same to resume.")
