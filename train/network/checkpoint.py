"""The checkpoint: one dict in one file, with the weights, their training data and their accuracy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genre_classifier.atomic import replacing
from train.errors import TrainingError
from train.network.base import GenreNet
from train.network.table import build_network

GTZAN_LABELS = ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"]
RENAMED = {"original": "cnn"}  # networks that version 0.1.0 called differently
REMOVED = {"statistics"}  # networks that only version 0.1.0 has


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
        """Write the file."""
        with replacing(path) as part:
            torch.save(vars(self), part)

    def is_sound(self) -> bool:
        """Whether training can have written these values; raises any error if they do not fit the network."""
        network = self.network()
        tensors = [*network.classifier.state_dict().values(), network.standardise.mean, network.standardise.deviation]
        return (
            isinstance(self.labels, list)
            and len(set(self.labels)) == len(self.labels)
            and 0 < self.temperature < math.inf
            and (self.recognised_above is None or math.isfinite(self.recognised_above))
            and all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
            and bool((network.standardise.deviation > 0).all())
        )

    def network(self) -> GenreNet:
        """The network with these weights, in evaluation mode, on the CPU."""
        network = build_network(self.net, len(self.labels))
        network.classifier.load_state_dict(self.model_state_dict)
        if self.mean is not None and self.deviation is not None:
            network.standardise.mean.copy_(self.mean)
            network.standardise.deviation.copy_(self.deviation)
        network.temperature.fill_(self.temperature)
        return network.eval()


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint of this project, of any version, or of the original project. Never runs code from the file.

    Raises:
        TrainingError: the file is missing, or it is something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        known = {name: value for name, value in content.items() if name in Checkpoint.__dataclass_fields__}
        for settings in (known, known.get("config", {})):
            if settings.get("net") in RENAMED:
                settings["net"] = RENAMED[settings["net"]]
        removed = known.get("net") in REMOVED
        checkpoint = Checkpoint(**known)
        if not removed and checkpoint.is_sound():
            return checkpoint
    except FileNotFoundError as error:
        raise TrainingError(f"There is no checkpoint {path}.") from error
    except Exception as error:  # unpickling an arbitrary file can raise anything
        raise TrainingError(f"{path} is not a checkpoint of this network.") from error
    if removed:
        raise TrainingError(f"{path} is of the network {checkpoint.net}, which only version 0.1.0 has; train again.")
    raise TrainingError(f"{path} is a checkpoint that contains impossible values.")


def check_settings(path: Path, trained: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Check that the checkpoint at a path was trained with the wanted settings, so that training may continue from it.

    Raises:
        TrainingError: it was not; the message names the settings that differ.
    """
    if other := [name for name in wanted if trained.get(name) != wanted[name]]:
        raise TrainingError(f"{path} was trained with another {' and '.join(other)}; use the same to resume.")
