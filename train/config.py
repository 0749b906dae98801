"""The settings of a training run."""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from train.errors import TrainingError
from train.network.table import NETWORKS

SPLITS = ("auto", "fault-filtered", "artist", "random-chunk")
PRECISIONS = ("auto", "float32", "float16", "bfloat16")
REFITS = ("no", "validation", "all")
TEACHERS = ("none", *(name for name, network in NETWORKS.items() if network.solver))
MIN_FOLDS = 3
SOLVER_OPTIONS = {"net", "refit", "seed"}  # what a network with a solver of its own takes
MASKABLE = " or ".join(name for name, network in NETWORKS.items() if network.masks)


def _number(default: float, minimum: float, maximum: float, text: str) -> Any:
    return field(default=default, metadata={"help": text, "minimum": minimum, "maximum": maximum})


def _choice(choices: tuple[str, ...], text: str, alone: str | None = None) -> Any:
    """The first is the default; `alone` is what the option means without a value."""
    return field(default=choices[0], metadata={"help": text, "choices": choices, "alone": alone})


def _flag(text: str) -> Any:
    return field(default=False, metadata={"help": text})


@dataclass(frozen=True)
class SplitConfig:
    """How clips are assigned to train, valid and test."""

    split: str = "auto"
    """auto, fault-filtered, artist, random-chunk, or the path of a CSV file."""
    artists: Path | None = None
    """A CSV file with the columns clip and artist, for the split by artist."""
    folds: int = 0
    """Number of folds of a cross-validation by artist; 0 for a single split."""
    fold: int | None = None
    """The only fold to train; None for all."""
    split_seed: int = 0

    @property
    def title(self) -> str:
        """A short name of the split, for messages."""
        return Path(self.split).name

    def __post_init__(self) -> None:
        """Check the options against each other.

        Raises:
            TrainingError: an option does not fit the others.
        """
        if self.split not in SPLITS and not Path(self.split).is_file():
            raise TrainingError(f"There is no split {self.split}; use {', '.join(SPLITS)}, or a CSV file clip,split.")
        if self.split not in {"artist", "auto"} and (self.folds or self.artists):
            raise TrainingError("--folds and --artists need --split artist or auto.")
        if self.folds and self.folds < MIN_FOLDS:
            raise TrainingError(f"--folds must be at least {MIN_FOLDS}: one tests, one validates, the others train.")
        if self.fold is not None and not 0 <= self.fold < self.folds:
            raise TrainingError("--fold must be from 0 to one less than --folds.")


@dataclass(frozen=True)
class Config:
    """How to train; saved with the checkpoint."""

    net: str = _choice(tuple(NETWORKS), "the network")
    epochs: int = _number(25, 1, math.inf, "passes over the training chunks")
    patience: int = _number(0, 0, math.inf, "stop after so many epochs without an improvement; 0 for never")
    refit: str = _choice(
        REFITS,
        "afterwards train again on the validation clips too; with `all`, then once more on all clips",
        "validation",
    )
    teacher: str = _choice(TEACHERS, "give soft targets, by this network fitted to the same clips")
    batch: int = _number(64, 2, math.inf, "chunks in a step, over all processes")
    learning_rate: float = _number(3e-3, 1e-9, 1, "highest learning rate of Adam; it falls to zero along a cosine")
    weight_decay: float = _number(1e-4, 0, 1, "weight decay of Adam")
    crop: float = _number(1.5, 0, 600, "augmentation: move each chunk by up to so many seconds")
    gain: float = _number(6.0, 0, 60, "augmentation: make it louder or softer by up to so many dB")
    speed: float = _number(0.1, 0, 0.5, "augmentation: play it faster or slower by up to this share, with its pitch")
    cache: int = _number(
        -1, -1, math.inf, "augmented copies to keep per chunk; 0: new ones in every step; -1: 0 on a GPU, 3 on a CPU"
    )
    mixup: float = _number(0.0, 0, 100, "parameter of the Beta distribution for mixing pairs of chunks; 0 for no mixup")
    mask_frames: int = _number(0, 0, 130, f"SpecAugment: set up to so many frames to zero ({MASKABLE} only)")
    mask_coefficients: int = _number(0, 0, 40, f"SpecAugment: set up to so many coefficients to zero ({MASKABLE} only)")
    recalibrate: bool = _flag("after each epoch, recompute the statistics of batch normalisation without dropout")
    precision: str = _choice(PRECISIONS, "of matrix products; auto is float16 on a GPU, float32 on a CPU")
    seed: int = _number(0, 0, 2**32 - 1, "seed of weights, sampling and augmentation")

    @property
    def augments(self) -> bool:
        """Whether waveforms are augmented before the front end."""
        return not NETWORKS[self.net].solver and bool(self.crop or self.gain or self.speed)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            TrainingError: a value is out of its range, or it does not fit the others.
        """
        for each in fields(self):
            name, value = f"--{each.name.replace('_', '-')}", getattr(self, each.name)
            if choices := each.metadata.get("choices"):
                if value not in choices:
                    raise TrainingError(f"{name} must be one of {', '.join(choices)}.")
            elif "minimum" in each.metadata:
                minimum, maximum = each.metadata["minimum"], each.metadata["maximum"]
                if not minimum <= value <= maximum:
                    limits = f"at least {minimum:g}" if maximum == math.inf else f"from {minimum:g} to {maximum:g}"
                    raise TrainingError(f"{name} must be {limits}.")
        changed = [each.name for each in fields(self) if getattr(self, each.name) != each.default]
        if NETWORKS[self.net].solver and (unused := set(changed) - SOLVER_OPTIONS):
            name = min(unused).replace("_", "-")
            raise TrainingError(
                f"--{name} is for networks that are trained in epochs; --net {self.net} is solved at once."
            )
        if (self.mask_frames or self.mask_coefficients) and not NETWORKS[self.net].masks:
            raise TrainingError(f"--mask-frames and --mask-coefficients need images, as --net {MASKABLE} has.")
        if self.refit != "no" and self.patience:
            raise TrainingError("--refit leaves no validation clips for --patience; use one of them.")
