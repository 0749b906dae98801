"""A whole training run: decode, split, prepare, train, evaluate, write; once, or once per fold."""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from genre_classifier.atomic import replacing
from train import distributed
from train.config import Config, SplitConfig
from train.data.augmentation import Crops
from train.data.chunks import Chunks
from train.data.clips import scan
from train.data.inputs import Inputs, prepare_all
from train.data.loading import choose_split, decode_and_split
from train.data.splits import PARTS, Split
from train.errors import TrainingError
from train.evaluation.metrics import fit_temperature, recognised_above, uncertain_below
from train.evaluation.plots import plot_curve
from train.evaluation.scores import Scores, pool, score_inputs
from train.evaluation.summary import write_evaluation
from train.network.checkpoint import check_settings, load_checkpoint
from train.network.table import NETWORKS, build_network
from train.solver import Solver
from train.trainer import Trainer

CPU_COPIES = 3  # augmented copies of each chunk that --cache keeps by default on a CPU, where features are slow
MIN_BATCH = 2  # chunks per process, which batch normalisation needs
SKIPPED_NAMED = 5
VALIDATED = "validation"  # with --refit, the folder of the run that is validated, before the one on all clips


def run(data: Path, output: Path, config: Config, split: SplitConfig, *, resume: bool, device: str) -> None:
    """Train, and evaluate the best checkpoint on each part; its metrics are stored in it.

    Args:
        data: a folder that holds one folder of clips per genre.
        output: a folder for best.ckpt, last.ckpt, split.csv, scores.pt, metrics.json and plots. A cross-validation
            makes one folder per fold in it, and writes the metrics of all folds beside them.
        config: the recipe.
        split: how clips are assigned to train, valid and test.
        resume: continue from last.ckpt; in a cross-validation, with the folds that are not done.
        device: auto, cuda or cpu.

    Raises:
        TrainingError: something that the user named is missing or does not fit.
    """
    where = init_device(device)
    processes = distributed.world_size()
    if config.batch % processes or config.batch < MIN_BATCH * processes:
        raise TrainingError(f"--batch must be a multiple of {processes} processes, and two chunks or more for each.")
    if config.cache < 0 and config.augments:
        config = replace(config, cache=0 if where.type == "cuda" else CPU_COPIES)
    folders = [output / f"fold-{fold}" for fold in range(split.folds)] if split.folds else [output]
    folds = list(range(len(folders))) if split.fold is None else [split.fold]
    check_resume([folders[fold] for fold in folds], config, resume=resume, folds=bool(split.folds))
    found, others = scan(data)
    report_skipped(others)
    split = choose_split(found, split)
    clips, waveforms, splits = decode_and_split(found, split)
    chunks = Chunks(clips, waveforms, sorted({clip.genre for clip in clips}))
    origin = f"{data.resolve().name}, split {split.title}"
    for each in splits:
        check_split(each, chunks, origin)
    if resume and split.folds:
        folds = [fold for fold in folds if not is_done(folders[fold], splits[fold], config)]
    if folds:
        network = build_network(config.net, len(chunks.labels)).to(where).eval()
        crops = Crops(chunks, config, divided=not splits[0].whole) if config.augments else None
        inputs = prepare_all(chunks, lambda waveform: network.prepare(waveform.to(where)), crops, config.cache)
        for fold in folds:
            train_split(inputs, splits[fold], folders[fold], config, where, origin=origin, resume=resume)
    if distributed.rank():
        return
    if split.folds and all(is_done(*fold, config) for fold in zip(folders, splits, strict=True)):
        print(f"\nAll {split.folds} folds together, each clip tested once:")
        scores = pool([read_scores(folder) for folder in folders])
        write_evaluation({"test": scores}, output, {"folds": read_folds(folders)})
    if not split.folds:
        tested = [clip for clip in clips if clip.name in splits[0].clips("test")]
        print(f"\nTo export this model and to try it:\n{next_commands(output, tested[0].path)}")


def report_skipped(files: Sequence[Path]) -> None:
    """Name on standard error the files that are no clips, a few of them if there are many, and count them."""
    if not files:
        return
    names = ", ".join(map(str, files[:SKIPPED_NAMED])) + (", ..." if len(files) > SKIPPED_NAMED else "")
    print(f"skipped {len(files)} files that are no audio, or lie in no genre's folder: {names}", file=sys.stderr)


def next_commands(output: Path, clip: Path) -> str:
    """The two command lines that export a run's model and classify a clip with it."""
    graph = output / "genre.onnx"
    export = ["python", "-m", "export", "--checkpoint", output / "best.ckpt", "--output", graph]
    return "\n".join(
        shlex.join(map(str, command)) for command in (export, ["genre-classifier", "--model", graph, clip])
    )


def init_device(name: str) -> torch.device:
    """The device by its name, and the connection to other processes; `auto` is CUDA if there is a GPU.

    Raises:
        TrainingError: CUDA is asked for and there is no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("PyTorch finds no CUDA device; use --device cpu to train without one.")
    return distributed.init_process_group("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def check_resume(folders: Sequence[Path], config: Config, *, resume: bool, folds: bool) -> None:
    """Check, before minutes of decoding, that there is a run to resume, or that there is none to overwrite.

    Raises:
        TrainingError: it is not so, or the run has other settings.
    """
    begun = [path for folder in folders for path in last_checkpoints(folder)]
    if begun and not resume:
        raise TrainingError(f"{begun[0].parent} already holds a run; use --resume to continue it, or another folder.")
    if resume and not begun and not folds:
        raise TrainingError(f"There is no checkpoint {folders[0] / 'last.ckpt'}.")
    for path in begun:
        check_settings(path, load_checkpoint(path).config, asdict(config))


def last_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run from which it can resume, the latest first."""
    return [path for path in (folder / "last.ckpt", folder / VALIDATED / "last.ckpt") if path.exists()]


def check_split(split: Split, chunks: Chunks, origin: str) -> None:
    """Check that every genre has chunks to train on, and every part has clips to score.

    Raises:
        TrainingError: it is not so.
    """
    if len(chunks.labels) < 2:  # noqa: PLR2004
        raise TrainingError(f"There is only one genre in {origin}; training needs two or more.")
    masks = {part: split.mask(chunks, part) for part in PARTS}
    if missing := [part for part, mask in masks.items() if not (mask & chunks.scored).any()]:
        raise TrainingError(f"The split leaves no clip of 3 seconds or more of {origin} to {' and '.join(missing)}.")
    trained = set(chunks.target[masks["train"]].tolist())
    if unknown := [label for index, label in enumerate(chunks.labels) if index not in trained]:
        raise TrainingError(f"The split leaves no clip of the genre {unknown[0]} to train on.")


def is_done(folder: Path, split: Split, config: Config) -> bool:
    """Whether a fold is trained to its end, with this split and these settings.

    Raises:
        TrainingError: it is trained with others.
    """
    if not (folder / "scores.pt").exists():
        return False
    checkpoint = load_checkpoint(folder / "best.ckpt")
    if checkpoint.split_sha256 != split.sha256() or checkpoint.config != asdict(config):
        raise TrainingError(f"{folder} was trained on another split or with other settings; use another folder.")
    return True


def read_scores(folder: Path) -> Scores:
    """Scores of the test clips of a fold that is done.

    Raises:
        TrainingError: the file cannot be read.
    """
    try:
        return Scores(**torch.load(folder / "scores.pt", weights_only=True))
    except Exception as error:  # unpickling an arbitrary file can raise anything
        raise TrainingError(f"{folder / 'scores.pt'} cannot be read; delete it, and --resume scores again.") from error


def read_folds(folders: Sequence[Path]) -> list[dict[str, float]]:
    """Accuracy of the clips of each part, averaged over genres, for each fold; also printed as a table."""
    metrics = [json.loads((folder / "metrics.json").read_text(encoding="utf-8")) for folder in folders]
    rows = [{part: each[part]["track_accuracy_macro"] for part in PARTS} for each in metrics]
    print(f"\naveraged over genres  {'  '.join(f'{part:>6}' for part in PARTS)}")
    for fold, row in enumerate(rows):
        print(f"{f'fold {fold}':>20}  {'  '.join(f'{row[part]:6.1%}' for part in PARTS)}")
    return rows


def train_split(
    inputs: Inputs, split: Split, output: Path, config: Config, device: torch.device, *, origin: str, resume: bool
) -> None:
    """Train on one split; the arguments are those of `run`, and `origin` names data and split for the checkpoint."""
    parts = {part: inputs.part(split, part) for part in PARTS}
    output.mkdir(parents=True, exist_ok=True)
    if distributed.rank() == 0:
        (output / "split.csv").write_text(split.table(), encoding="utf-8")
    for part, each in parts.items():
        print(f"{part}: {len(set(each.chunks.clip.tolist()))} clips, {len(each.chunks)} chunks", flush=True)

    def fit(train: Inputs, valid: Inputs | None, folder: Path) -> None:
        count = len(set(train.chunks.clip.tolist()))
        facts: dict[str, Any] = {"trained_on": f"{count} clips of {origin}", "split_sha256": split.sha256()}
        trainer = (Solver if NETWORKS[config.net].solver else Trainer)(config, inputs.chunks.labels, device, facts)
        if resume and (folder / "last.ckpt").exists():
            trainer.resume(folder / "last.ckpt")
        folder.mkdir(parents=True, exist_ok=True)
        trainer.run(train, valid, folder)
        if distributed.rank() == 0:
            plot_curve(trainer.history, folder / "curve.png")

    validated = output / VALIDATED / "last.ckpt" if config.refit else output / "best.ckpt"
    fit(parts["train"], parts["valid"], validated.parent)
    if config.refit:
        # The validation clips are no longer needed to choose an epoch, so they train too, for as many epochs.
        print("training again, on training and validation clips together", flush=True)
        parts["train"] = inputs.part(split.without_validation(), "train")
        fit(parts["train"], None, output)
    if distributed.rank() == 0:
        finish(parts, validated, output)


def finish(parts: dict[str, Inputs], validated: Path, output: Path) -> None:
    """Score every part, and store metrics, temperature and threshold in best.ckpt.

    Temperature and threshold are fitted on the validation clips, with a checkpoint that was not trained on them.
    """
    checkpoint = replace(load_checkpoint(validated), temperature=1.0)
    valid = score_inputs(checkpoint.network(), parts["valid"])
    temperature = fit_temperature(valid)
    valid = valid.tempered(temperature)
    threshold, familiar = uncertain_below(valid), recognised_above(valid)
    best = replace(
        load_checkpoint(output / "best.ckpt"),
        temperature=temperature,
        uncertain_below=threshold,
        recognised_above=familiar,
    )
    network = best.network()
    print(f"\nEvaluated on validation: epoch {len(checkpoint.history)}, {validated}")
    print(f"Fitted on validation: temperature {temperature:.2f}, uncertain below {threshold:.2f}")
    if familiar is not None:
        print(f"Fitted on validation: recognised above a familiarity of {familiar:.2f}")
    test = score_inputs(network, parts["test"])
    scores = {"train": score_inputs(network, parts["train"]), "valid": valid, "test": test}
    metrics = write_evaluation(scores, output, recognised_above=familiar)
    replace(best, metrics=metrics).save(output / "best.ckpt")
    # The last file: a fold that has it is done.
    with replacing(output / "scores.pt") as part:
        torch.save(vars(test), part)
