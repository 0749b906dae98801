"""The trainings of one split: one that is validated, with --refit one that is tested, and one that is the model."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from genre_classifier.atomic import replacing
from train import distributed
from train.config import Config
from train.data.inputs import Inputs
from train.data.splits import PARTS, Split
from train.evaluation.metrics import fit_temperature, recognised_above, uncertain_below
from train.evaluation.plots import plot_curve
from train.evaluation.scores import score_inputs
from train.evaluation.summary import write_evaluation
from train.network.checkpoint import load_checkpoint, save_tensors
from train.network.table import NETWORKS
from train.solver import Solver
from train.teacher import Teacher
from train.trainer import Trainer

VALIDATED, TESTED = "validation", "test"
FOLDERS = ("", TESTED, VALIDATED)  # in a run's folder, those of its trainings, the latest first


@dataclass(frozen=True)
class Stages:
    """What the trainings of all splits share."""

    inputs: Inputs
    teacher: Teacher | None
    config: Config
    device: torch.device
    origin: str
    """Name of data and split, for the checkpoint."""
    resume: bool
    """Continue where there is a last.ckpt."""

    def run(self, split: Split, output: Path) -> None:
        """Train on one split, and write all that a run leaves into a folder."""
        parts = {part: self.inputs.part(split, part) for part in PARTS}
        output.mkdir(parents=True, exist_ok=True)
        if distributed.rank() == 0:
            with replacing(output / "split.csv") as unfinished:
                unfinished.write_text(split.table(), encoding="utf-8")
        for part, each in parts.items():
            print(f"{part}: {each.chunks.clip_count} clips, {len(each.chunks)} chunks", flush=True)

        refit = self.config.refit
        tested = output / TESTED if refit == "all" else output
        validated = tested if refit == "no" else output / VALIDATED
        self.fit(split, split, parts["valid"], validated)
        if refit != "no":
            # The validation clips are no longer needed to choose an epoch, so they train too, for as many epochs.
            print("training again, on training and validation clips together", flush=True)
            moved = split.moved_to_train("valid")
            parts["train"] = self.inputs.part(moved, "train")
            self.fit(moved, split, None, tested)
        if refit == "all":
            # The run before has told the accuracy, so the test clips are not needed for it any more.
            print("training once more, on all clips", flush=True)
            everything = model_split(split, self.config)
            self.fit(everything, everything, None, output)
        if distributed.rank() == 0:
            best_epoch = "best.ckpt" if refit == "no" else "last.ckpt"
            finish(parts, validated / best_epoch, tested, output)

    def fit(self, moved: Split, split: Split, valid: Inputs | None, folder: Path) -> None:
        """Train on the train part of `moved`, which `split` has become; write best.ckpt, last.ckpt and a plot."""
        trained_on = f"{self.count(moved)} clips of {self.origin}"
        if self.teacher:
            train = self.teacher.teach(self.inputs, moved)
            extra = train.chunks.clip_count - self.count(moved)
            trained_on += f", and {extra} without labels" if extra else ""
        else:
            train = self.inputs.part(moved, "train", augmented=True)
        facts: dict[str, Any] = {"trained_on": trained_on, "split_sha256": split.sha256()}
        kind = Solver if NETWORKS[self.config.net].solver else Trainer
        trainer = kind(self.config, self.inputs.chunks.labels, self.device, facts)
        if self.resume and (folder / "last.ckpt").exists():
            trainer.resume(folder / "last.ckpt")
        folder.mkdir(parents=True, exist_ok=True)
        trainer.run(train, valid, folder)
        if distributed.rank() == 0:
            plot_curve(trainer.history, folder / "curve.png")

    def count(self, split: Split) -> int:
        """How many clips train."""
        return self.inputs.chunks.subset(split.mask(self.inputs.chunks, "train")).clip_count


def model_split(split: Split, config: Config) -> Split:
    """The split that a run's model is trained with: with `--refit all` no clip is left to test it."""
    return split.moved_to_train("valid", "test") if config.refit == "all" else split


def finish(parts: dict[str, Inputs], validated: Path, tested: Path, output: Path) -> None:
    """Score every part, and store metrics, temperature and thresholds in best.ckpt.

    Args:
        parts: the inputs of each part.
        validated: a checkpoint that was not trained on the validation clips, to fit temperature and thresholds.
        tested: the folder of a best.ckpt that was not trained on the test clips, which the metrics are of.
        output: the folder of the best.ckpt that is the model.
    """
    checkpoint = replace(load_checkpoint(validated), temperature=1.0)
    valid = score_inputs(checkpoint.network(), parts["valid"])
    temperature = fit_temperature(valid)
    valid = valid.tempered(temperature)
    threshold, familiar = uncertain_below(valid), recognised_above(valid)
    print(f"\nEvaluated on validation: epoch {len(checkpoint.history)}, {validated}")
    print(f"Fitted on validation: temperature {temperature:.2f}, uncertain below {threshold:.2f}")
    if familiar is not None:
        print(f"Fitted on validation: recognised above a familiarity of {familiar:.2f}")
    fitted: dict[str, Any] = {"temperature": temperature, "uncertain_below": threshold, "recognised_above": familiar}
    network = replace(load_checkpoint(tested / "best.ckpt"), **fitted).network()
    test = score_inputs(network, parts["test"])
    scores = {"train": score_inputs(network, parts["train"]), "valid": valid, "test": test}
    metrics = write_evaluation(scores, output, recognised_above=familiar)
    for folder in {tested, output}:
        best = replace(load_checkpoint(folder / "best.ckpt"), **fitted, metrics=metrics)
        best.save(folder / "best.ckpt")
    # The last file: a fold that has it is done.
    save_tensors(vars(test), output / "scores.pt")
