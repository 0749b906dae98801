"""One dict in one file: weights, what they were trained on, and what they reach."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from train.errors import TrainingError
from train.model import GenreNet

GTZAN_LABELS = ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"]


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and its facts."""

    model_state_dict: dict[str, Tensor]
    """Of the classifier, under the original project's key and names."""
    labels: list[str] = field(default_factory=lambda: list(GTZAN_LABELS))
    mean: Tensor | None = None
    """Of the classifier's inputs in training, (5, 40, 1) or (808,); None where it takes them as they are."""
    deviation: Tensor | None = None
    temperature: float = 1.0
    uncertain_below: float = 0.0
    """Confidence under which a clip's genre is called uncertain."""
    net: str = "original"
    """Name of the network, one of `train.config.NETS`."""
    trained_on: str = ""
    split_sha256: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    """One dict of figures for each epoch."""
    resume: dict[str, Any] | None = None
    """Optimiser, schedule and scaler, where training may go on from here."""

    def save(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        part = path.with_name(path.name + ".part")
        torch.save(vars(self), part)
        part.replace(path)

    def is_sound(self) -> bool:
        """Whether its values can be what training wrote; raises whatever where they do not even fit the network."""
        network = self.network()
        tensors = [*network.classifier.state_dict().values(), network.standardise.mean, network.standardise.deviation]
        return (
            isinstance(self.labels, list)
            and len(set(self.labels)) == len(self.labels)
            and 0 < self.temperature < math.inf
            and all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
            and bool((network.standardise.deviation > 0).all())
        )

    def network(self) -> GenreNet:
        """The network with these weights, in evaluation mode, on the CPU."""
        network = GenreNet(len(self.labels), self.net)
        network.classifier.load_state_dict(self.model_state_dict)
        if self.mean is not None and self.deviation is not None:
            network.standardise.mean.copy_(self.mean)
            network.standardise.deviation.copy_(self.deviation)
        network.temperature.fill_(self.temperature)
        return network.eval()


def load_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint of this project or of the original one; never runs code from the file.

    Raises:
        TrainingError: there is none, or it is something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        known = {name: value for name, value in content.items() if name in Checkpoint.__dataclass_fields__}
        checkpoint = Checkpoint(**known)
        if checkpoint.is_sound():
            return checkpoint
    except FileNotFoundError as error:
        raise TrainingError(f"There is no checkpoint {path}.") from error
    except Exception as error:  # of a file that is anything at all, unpickling raises anything at all
        raise TrainingError(f"{path} is not a checkpoint of this network.") from error
    raise TrainingError(f"{path} is a checkpoint that holds impossible values.")


def check_settings(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Sees that the checkpoint at a path was trained with the settings of here, so that training may go on from it.

    Raises:
        TrainingError: it was not; the message names those that differ.
    """
    if other := [name for name in here if there.get(name) != here[name]]:
        raise TrainingError(f"{path} was trained with another {' and '.join(other)}; give it the same to go on.")
