"""The settings of a training run."""

from dataclasses import dataclass, field
from typing import Any


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Config:
    """How to train; saved with the checkpoint."""

    epochs: int = _option(40, "passes over the training chunks")
    batch: int = _option(64, "chunks in a step")
    learning_rate: float = _option(1e-3, "Adam's at its highest; it falls to zero along a cosine")
    weight_decay: float = _option(1e-4, "Adam's")
    hop: float = _option(1.5, "seconds between the starts of training chunks; 3 for none to overlap")
    mixup: float = _option(0.2, "parameter of the Beta distribution that mixes pairs of chunks; 0 for none")
    mask_frames: int = _option(20, "blank up to so many successive frames (SpecAugment); 0 for none")
    mask_coefficients: int = _option(6, "blank up to so many successive coefficients; 0 for none")
    seed: int = _option(0, "of weights, draws and masks")
