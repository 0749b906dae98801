"""The settings of a training run."""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from train.errors import TrainingError

SPLITS = ("fault-filtered", "artist", "random-chunk")
NETS = ("statistics", "original")
PRECISIONS = ("auto", "float32", "float16", "bfloat16")
LEAST_FOLDS = 3


def _option(default: Any, least: float, most: float, text: str) -> Any:
    return field(default=default, metadata={"help": text, "least": least, "most": most})


def _choice(choices: tuple[str, ...], text: str) -> Any:
    return field(default=choices[0], metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class SplitConfig:
    """Which chunks train, which choose, which test."""

    split: str = "fault-filtered"
    """fault-filtered, artist, random-chunk, or the path of a CSV file."""
    artists: Path | None = None
    """A CSV file with the columns clip and artist, for the split by artist."""
    folds: int = 0
    """How many for a cross-validation by artist; 0 for a single split."""
    fold: int | None = None
    """The only one to train, where it is not all."""
    split_seed: int = 0

    @property
    def title(self) -> str:
        """The split in a word."""
        return Path(self.split).name

    def __post_init__(self) -> None:
        """Refuse what makes no split.

        Raises:
            TrainingError: an option does not go with the others.
        """
        if self.split not in SPLITS and not Path(self.split).is_file():
            raise TrainingError(f"There is no split {self.split}: it is {', '.join(SPLITS)}, or a CSV file clip,split.")
        if self.split != "artist" and (self.folds or self.artists):
            raise TrainingError("--folds and --artists go with --split artist.")
        if self.folds and self.folds < LEAST_FOLDS:
            raise TrainingError(f"--folds must be at least {LEAST_FOLDS}: one tests, one chooses, the others train.")
        if self.fold is not None and not 0 <= self.fold < self.folds:
            raise TrainingError("--fold must be from 0 to one less than --folds.")


@dataclass(frozen=True)
class Config:
    """How to train; saved with the checkpoint."""

    net: str = _choice(NETS, "the network")
    epochs: int = _option(25, 1, math.inf, "passes over the training chunks")
    patience: int = _option(0, 0, math.inf, "stop after so many epochs without a better one; 0 for never")
    refit: bool = field(default=False, metadata={"help": "then train anew on train and validation together"})
    batch: int = _option(64, 2, math.inf, "chunks in a step, of all processes together")
    learning_rate: float = _option(3e-3, 1e-9, 1, "Adam's at its highest; it falls to zero along a cosine")
    weight_decay: float = _option(1e-4, 0, 1, "Adam's")
    crop: float = _option(1.5, 0, 600, "move each chunk by up to so many seconds, each time it is trained on")
    gain: float = _option(6.0, 0, 60, "make it louder or softer by up to so many dB")
    speed: float = _option(0.1, 0, 0.5, "and faster or slower by up to this share, tempo and pitch together")
    cache: int = _option(
        -1, -1, math.inf, "keep so many such copies of each; 0: new ones for every step; -1: 3 on a CPU"
    )
    mixup: float = _option(0.0, 0, 100, "parameter of the Beta distribution that mixes pairs of chunks; 0 for none")
    mask_frames: int = _option(0, 0, 130, "blank up to so many successive frames (SpecAugment, images only)")
    mask_coefficients: int = _option(0, 0, 40, "blank up to so many successive coefficients (likewise)")
    recalibrate: bool = field(
        default=False,
        metadata={"help": "after each epoch, gather batch normalisation's statistics anew, without dropout"},
    )
    precision: str = _choice(PRECISIONS, "of the network's products; auto is float16 on CUDA, float32 on a CPU")
    seed: int = _option(0, 0, 2**32 - 1, "of weights, draws and changes")

    @property
    def changes(self) -> bool:
        """Whether chunks are changed before their features are taken."""
        return bool(self.crop or self.gain or self.speed)

    def __post_init__(self) -> None:
        """Refuse what cannot train.

        Raises:
            TrainingError: a value is out of its range, or goes with no other.
        """
        for each in fields(self):
            name, value = f"--{each.name.replace('_', '-')}", getattr(self, each.name)
            if choices := each.metadata.get("choices"):
                if value not in choices:
                    raise TrainingError(f"{name} is one of {', '.join(choices)}.")
            elif "least" in each.metadata:
                least, most = each.metadata["least"], each.metadata["most"]
                if not least <= value <= most:
                    limits = f"at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
                    raise TrainingError(f"{name} must be {limits}.")
        if self.net != "original" and (self.mask_frames or self.mask_coefficients):
            raise TrainingError("--mask-frames and --mask-coefficients go with --net original, which sees images.")
        if self.refit and self.patience:
            raise TrainingError("--patience needs validation clips to end by, and --refit leaves none; choose one.")
