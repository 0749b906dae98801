"""A whole training run: decode, split, extract, fit, score, write; once, or once for each fold."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from train import parallel
from train.assign import decode_and_split
from train.augment import Crops
from train.checkpoint import check_settings, load_checkpoint
from train.config import Config, SplitConfig
from train.data import Chunks, find_clips
from train.errors import TrainingError
from train.fit import Fit
from train.inputs import Inputs, prepare_all
from train.metrics import fit_temperature, metrics, table, uncertain_below
from train.model import GenreNet
from train.plots import plot_all, plot_curve
from train.scores import Scores, pool, score
from train.splits import PARTS, Split

CPU_CACHE = 3  # changed copies kept of each chunk, unless the user says otherwise: features take a CPU long
LEAST_BATCH = 2  # chunks for each process: batch normalisation needs as many
JUDGED = "validation"  # folder of the run that validation judges, where another is then trained on its clips too


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
    if config.batch % parallel.size() or config.batch < LEAST_BATCH * parallel.size():
        raise TrainingError(f"--batch must be a multiple of {parallel.size()} processes, two chunks or more for each.")
    if config.cache < 0:
        config = replace(config, cache=0 if where.type == "cuda" else CPU_CACHE)
    folders = [output / f"fold-{fold}" for fold in range(split.folds)] if split.folds else [output]
    turns = list(range(len(folders))) if split.fold is None else [split.fold]
    check_begun([folders[turn] for turn in turns], config, resume=resume, folds=bool(split.folds))
    clips, waveforms, splits = decode_and_split(find_clips(data), split)
    chunks = Chunks(clips, waveforms, sorted({clip.genre for clip in clips}))
    origin = f"{data.resolve().name}, split {split.title}"
    for each in splits:
        check_split(each, chunks, origin)
    if resume and split.folds:
        turns = [turn for turn in turns if not is_done(folders[turn], splits[turn], config)]
    if turns:
        network = GenreNet(len(chunks.labels), config.net).to(where).eval()
        crops = Crops(chunks, config, divided=not splits[0].whole) if config.changes else None
        inputs = prepare_all(chunks, lambda waveform: network.prepare(waveform.to(where)), crops, config.cache)
        for turn in turns:
            train_once(inputs, splits[turn], folders[turn], config, where, origin=origin, resume=resume)
    if parallel.rank():
        return
    if split.folds and all(is_done(*fold, config) for fold in zip(folders, splits, strict=True)):
        scores = pool([read_scores(folder) for folder in folders])
        print(f"\nAll {split.folds} folds together, each clip tested once:")
        write_figures({"test": metrics(scores)}, scores, output, {"folds": read_folds(folders)})


def check_begun(folders: Sequence[Path], config: Config, *, resume: bool, folds: bool) -> None:
    """Sees, before minutes of decoding, that what is there is what training is to go on from, or that nothing is.

    Raises:
        TrainingError: it is not so.
    """
    begun = [path for folder in folders for path in last_checkpoints(folder)]
    if begun and not resume:
        raise TrainingError(f"{begun[0].parent} holds a run already; --resume goes on with it, or name another folder.")
    if resume and not begun and not folds:
        raise TrainingError(f"There is no checkpoint {folders[0] / 'last.ckpt'}.")
    for path in begun:
        check_settings(path, load_checkpoint(path).config, asdict(config))


def last_checkpoints(folder: Path) -> list[Path]:
    """What there is to go on from, the one nearest to the end first."""
    return [path for path in (folder / "last.ckpt", folder / JUDGED / "last.ckpt") if path.exists()]


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


def read_folds(folders: Sequence[Path]) -> list[dict[str, float]]:
    """Accuracy of the tracks of each part, averaged over genres, of each fold; printed as a table."""
    figures = [json.loads((folder / "metrics.json").read_text(encoding="utf-8")) for folder in folders]
    table = [{part: each[part]["track_accuracy_macro"] for part in PARTS} for each in figures]
    print(f"\naveraged over genres  {'  '.join(f'{part:>6}' for part in PARTS)}")
    for fold, row in enumerate(table):
        print(f"{f'fold {fold}':>20}  {'  '.join(f'{row[part]:6.1%}' for part in PARTS)}")
    return table


def train_once(
    inputs: Inputs, split: Split, output: Path, config: Config, device: torch.device, *, origin: str, resume: bool
) -> None:
    """Trains on one split; see `run`."""
    parts = {part: inputs.part(split, part) for part in PARTS}
    output.mkdir(parents=True, exist_ok=True)
    if parallel.rank() == 0:
        (output / "split.csv").write_text(split.table(), encoding="utf-8")
    for part, each in parts.items():
        print(f"{part}: {len(set(each.chunks.clip.tolist()))} clips, {len(each.chunks)} chunks", flush=True)

    def fit(train: Inputs, valid: Inputs | None, folder: Path) -> None:
        count = len(set(train.chunks.clip.tolist()))
        facts: dict[str, Any] = {"trained_on": f"{count} clips of {origin}", "split_sha256": split.sha256()}
        fitting = Fit(config, inputs.chunks.labels, device, facts)
        if resume and (folder / "last.ckpt").exists():
            fitting.resume(folder / "last.ckpt")
        folder.mkdir(parents=True, exist_ok=True)
        fitting.run(train, valid, folder)
        if parallel.rank() == 0:
            plot_curve(fitting.history, folder / "curve.png")

    judged = output / JUDGED / "last.ckpt" if config.refit else output / "best.ckpt"
    fit(parts["train"], parts["valid"], judged.parent)
    if config.refit:
        # Validation has said all it can by now, so its clips train too, for as many epochs.
        print("anew, on training and validation clips together", flush=True)
        parts["train"] = inputs.part(split.without_validation(), "train")
        fit(parts["train"], None, output)
    if parallel.rank() == 0:
        finish(parts, judged, output)


def finish(parts: dict[str, Inputs], judged: Path, output: Path) -> None:
    """Scores every part, and writes down in best.ckpt what it reaches, with the temperature and threshold it needs.

    These two are fitted on validation clips, as judged by a checkpoint that was not trained on them.
    """
    checkpoint = replace(load_checkpoint(judged), temperature=1.0)
    valid = score(checkpoint.network(), parts["valid"])
    temperature = fit_temperature(valid)
    valid = valid.tempered(temperature)
    threshold = uncertain_below(valid)
    best = replace(load_checkpoint(output / "best.ckpt"), temperature=temperature, uncertain_below=threshold)
    network = best.network()
    scores = {"train": score(network, parts["train"]), "valid": valid, "test": score(network, parts["test"])}
    figures = {part: metrics(each) for part, each in scores.items()}
    replace(best, metrics=figures).save(output / "best.ckpt")
    print(f"\nJudged by validation: epoch {len(checkpoint.history)}, {judged}")
    print(f"Fitted on it: temperature {temperature:.2f}, uncertain below {threshold:.2f}")
    write_figures(figures, scores["test"], output)
    # The last, and whole or not at all: a fold that has it is done.
    torch.save(vars(scores["test"]), output / "scores.pt.part")
    (output / "scores.pt.part").replace(output / "scores.pt")


def write_figures(figures: dict[str, Any], test: Scores, output: Path, more: dict[str, Any] | None = None) -> None:
    """Writes metrics.json, with more in it, and the plots of the test clips, and prints a table of every part."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "metrics.json").write_text(json.dumps(figures | (more or {}), indent=2) + "\n", encoding="utf-8")
    plot_all(figures["test"], test, output)
    for part, each in figures.items():
        print(f"\n{part}\n{table(each, test.labels)}", flush=True)


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is CUDA where there is one, and of several this process's own.

    Raises:
        TrainingError: CUDA is asked for and absent.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("PyTorch finds no CUDA device; --device cpu trains without one.")
    kind = "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
    own = parallel.join(kind)
    if parallel.rank():
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - the first process speaks for all
    return own
