"""A whole training run: decode, split, extract, fit, score, write; once, or once for each fold."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio import CHUNK_SAMPLES, SAMPLE_RATE
from train.assign import decode_and_split
from train.checkpoint import load_checkpoint
from train.config import Config, SplitConfig
from train.data import Chunks, extract, find_clips
from train.errors import TrainingError
from train.features import Features
from train.fit import Fit
from train.metrics import fit_temperature, metrics, table, uncertain_below
from train.plots import plot_all, plot_curve
from train.scores import Scores, pool, score
from train.splits import PARTS, Split


@dataclass(frozen=True)
class Material:
    """What is trained on: the features of all chunks, and what they are of."""

    features: Tensor
    """float32 (chunks, 5, 40, 130)."""
    chunks: Chunks
    origin: str
    """The data and the split, in words."""

    def part(self, split: Split, part: str) -> tuple[Tensor, Chunks]:
        """Features and chunks of a part of the split."""
        mask = split.mask(self.chunks, part)
        return self.features[mask], self.chunks.subset(mask)


def run(data: Path, output: Path, config: Config, split: SplitConfig, *, resume: bool, device: str) -> None:
    """Trains, scores the best checkpoint on each part, and writes into it what it reaches.

    Args:
        data: a folder with a folder of clips for each genre.
        output: a folder for best.ckpt, last.ckpt, split.csv, scores.pt, metrics.json and plots; with folds, one folder
            for each in it, and the figures of all beside them.
        config: the recipe.
        split: which chunks train, which choose, which test.
        resume: go on from last.ckpt; of folds, with those that are not done.
        device: auto, cuda or cpu.

    Raises:
        TrainingError: something the user named is not there or not fit.
    """
    where = choose_device(device)
    folders = [output / f"fold-{fold}" for fold in range(split.folds)] if split.folds else [output]
    turns = list(range(len(folders))) if split.fold is None else [split.fold]
    if resume and not split.folds:
        load_checkpoint(output / "last.ckpt")  # before minutes of decoding
    if not resume and (taken := [folders[turn] for turn in turns if (folders[turn] / "last.ckpt").exists()]):
        raise TrainingError(f"{taken[0]} holds a run already; --resume goes on with it, or name another folder.")
    clips, waveforms, splits = decode_and_split(find_clips(data), split)
    hop = round(config.hop * SAMPLE_RATE) if splits[0].whole else CHUNK_SAMPLES
    chunks = Chunks(clips, waveforms, sorted({clip.genre for clip in clips}), hop)
    origin = f"{data.resolve().name}, split {split.title}"
    for each in splits:
        check_split(each, chunks, origin)
    if resume and split.folds:
        turns = [turn for turn in turns if not is_done(folders[turn], splits[turn], config)]
    if turns:
        material = Material(extract(chunks, Features().to(where), where), chunks, origin)
        for turn in turns:
            train_once(material, splits[turn], folders[turn], config, where, resume=resume)
    if split.folds and all(is_done(*fold, config) for fold in zip(folders, splits, strict=True)):
        scores = pool([read_scores(folder) for folder in folders])
        print(f"\nAll {split.folds} folds together, each clip tested once:")
        write_figures({"test": metrics(scores)}, scores, output)


def check_split(split: Split, chunks: Chunks, origin: str) -> None:
    """Sees that every genre is trained, and that every part has something to score.

    Raises:
        TrainingError: one or the other is not so.
    """
    if len(chunks.labels) < 2:  # noqa: PLR2004
        raise TrainingError(f"There is one genre alone in {origin}; it takes two to tell them apart.")
    masks = {part: split.mask(chunks, part) for part in PARTS}
    if missing := [part for part, mask in masks.items() if not (mask & chunks.scored).any()]:
        raise TrainingError(f"The split leaves no clip of 3 seconds or more of {origin} to {' and '.join(missing)}.")
    trained = set(chunks.target[masks["train"]].tolist())
    if unknown := [label for index, label in enumerate(chunks.labels) if index not in trained]:
        raise TrainingError(f"The split leaves no clip of the genre {unknown[0]} to train.")


def is_done(folder: Path, split: Split, config: Config) -> bool:
    """Whether a fold has been trained to its end, as asked.

    Raises:
        TrainingError: it has been, on other clips or with other settings.
    """
    if not (folder / "scores.pt").exists():
        return False
    checkpoint = load_checkpoint(folder / "best.ckpt")
    if checkpoint.split_sha256 != split.sha256() or checkpoint.config != asdict(config):
        raise TrainingError(f"{folder} was trained on another split or with other settings; name another folder.")
    return True


def read_scores(folder: Path) -> Scores:
    """Scores of the test clips of a run that is done.

    Raises:
        TrainingError: they cannot be read.
    """
    try:
        return Scores(**torch.load(folder / "scores.pt", weights_only=True))
    except Exception as error:  # of a file that is anything at all, unpickling raises anything at all
        raise TrainingError(f"{folder / 'scores.pt'} cannot be read; without it, --resume scores anew.") from error


def train_once(
    material: Material, split: Split, output: Path, config: Config, device: torch.device, *, resume: bool
) -> None:
    """Trains on one split; see `run`."""
    sets = {part: material.part(split, part) for part in PARTS}
    labels = material.chunks.labels
    count = len(set(sets["train"][1].clip.tolist()))
    facts: dict[str, Any] = {"trained_on": f"{count} clips of {material.origin}", "split_sha256": split.sha256()}
    fit = Fit(config, labels, device, facts)
    if resume and (output / "last.ckpt").exists():
        fit.resume(output / "last.ckpt")
    output.mkdir(parents=True, exist_ok=True)
    (output / "split.csv").write_text(split.table(), encoding="utf-8")
    for part, (_, chunks) in sets.items():
        print(f"{part}: {len(set(chunks.clip.tolist()))} clips, {len(chunks)} chunks", flush=True)
    fit.run(sets["train"], sets["valid"], output)
    finish(sets, output, facts)


def finish(sets: dict[str, tuple[Tensor, Chunks]], output: Path, facts: dict[str, Any]) -> None:
    """Fits best.ckpt's temperature and threshold on validation, scores every part, and writes down what it reaches."""
    checkpoint = replace(load_checkpoint(output / "best.ckpt"), temperature=1.0)
    network = checkpoint.network()
    scores = {part: score(network, *sets[part]) for part in PARTS}
    temperature = fit_temperature(scores["valid"])
    scores = {part: each.tempered(temperature) for part, each in scores.items()}
    figures = {part: metrics(each) for part, each in scores.items()}
    threshold = uncertain_below(scores["valid"])
    checkpoint = replace(checkpoint, **facts, metrics=figures, temperature=temperature, uncertain_below=threshold)
    checkpoint.save(output / "best.ckpt")
    plot_curve(load_checkpoint(output / "last.ckpt").history, output / "curve.png")
    print(f"\nBest by validation: epoch {len(checkpoint.history)}, in {output / 'best.ckpt'}")
    print(f"Fitted on validation: temperature {temperature:.2f}, uncertain below {threshold:.2f}")
    write_figures(figures, scores["test"], output)
    # The last, and whole or not at all: a fold that has it is done.
    torch.save(vars(scores["test"]), output / "scores.pt.part")
    (output / "scores.pt.part").replace(output / "scores.pt")


def write_figures(figures: dict[str, Any], test: Scores, output: Path) -> None:
    """Writes metrics.json and the plots of the test clips, and prints a table of every part."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    plot_all(figures["test"], test, output)
    for part, each in figures.items():
        print(f"\n{part}\n{table(each, test.labels)}", flush=True)


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is CUDA where there is one.

    Raises:
        TrainingError: CUDA is asked for and absent.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("PyTorch finds no CUDA device; --device cpu trains without one.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
