"""A whole training run: decode, split, prepare, train, evaluate, write; once, or once per fold."""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from train import distributed
from train.config import Config, SplitConfig
from train.data.augmentation import Crops
from train.data.chunks import Chunks
from train.data.clips import scan
from train.data.inputs import prepare_all
from train.data.loading import choose_split, decode_and_split
from train.data.splits import PARTS, Split
from train.errors import TrainingError
from train.evaluation.scores import Scores, pool
from train.evaluation.summary import write_evaluation
from train.network.checkpoint import check_settings, load_checkpoint
from train.network.table import build_network
from train.stages import FOLDERS, Stages, model_split
from train.teacher import Teacher, decode_unlabelled

CPU_COPIES = 3  # augmented copies of each chunk that --cache keeps by default on a CPU, where features are slow
MIN_BATCH = 2  # chunks per process, which batch normalisation needs
SKIPPED_NAMED = 5


def run(
    data: Path,
    output: Path,
    config: Config,
    split: SplitConfig,
    *,
    resume: bool,
    device: str,
    unlabelled: Path | None = None,
) -> None:
    """Train, and evaluate the best checkpoint on each part; its metrics are stored in it.

    Args:
        data: a folder that holds one folder of clips per genre.
        output: a folder for best.ckpt, last.ckpt, split.csv, scores.pt, metrics.json and plots. A cross-validation
            makes one folder per fold in it, and writes the metrics of all folds beside them.
        config: the recipe.
        split: how clips are assigned to train, valid and test.
        resume: continue from last.ckpt; in a cross-validation, with the folds that are not done.
        device: auto, cuda or cpu.
        unlabelled: a folder of music without labels, to which the teacher gives targets.

    Raises:
        TrainingError: something that the user named is missing or does not fit.
    """
    where = init_device(device)
    check_options(config, unlabelled)
    if config.cache < 0 and config.augments:
        config = replace(config, cache=0 if where.type == "cuda" else CPU_COPIES)
    folders = [output / f"fold-{fold}" for fold in range(split.folds)] if split.folds else [output]
    folds = list(range(len(folders))) if split.fold is None else [split.fold]
    check_resume([folders[fold] for fold in folds], config, resume=resume, folds=bool(split.folds))
    found, others = scan(data)
    report_skipped(others)
    split = choose_split(found, split)
    output.mkdir(parents=True, exist_ok=True)  # where it cannot be made, better to say so before minutes of decoding
    clips, waveforms, splits = decode_and_split(found, split)
    labels = sorted({clip.genre for clip in clips})
    more = decode_unlabelled(unlabelled, waveforms)
    chunks = Chunks([*clips, *more.clips], [*waveforms, *more.waveforms], labels)
    origin = f"{data.resolve().name}, split {split.title}"
    for each in splits:
        check_split(each, chunks, origin)
    if resume and split.folds:
        folds = [fold for fold in folds if not is_done(folders[fold], splits[fold], config)]
    if folds:
        network = build_network(config.net, len(chunks.labels)).to(where).eval()
        crops = Crops(chunks, config, divided=not splits[0].whole) if config.augments else None
        inputs = prepare_all(chunks, lambda waveform: network.prepare(waveform.to(where)), crops, config.cache)
        teacher = Teacher(config.teacher, chunks, where) if config.teacher != "none" else None
        stages = Stages(inputs, teacher, config, where, origin, resume=resume)
        for fold in folds:
            stages.run(splits[fold], folders[fold])
    if distributed.rank():
        return
    if split.folds and all(is_done(*fold, config) for fold in zip(folders, splits, strict=True)):
        print(f"\nAll {split.folds} folds together, each clip tested once:")
        scores = pool([read_scores(folder) for folder in folders])
        write_evaluation({"test": scores}, output, {"folds": read_folds(folders)})
    if not split.folds:
        tested = [clip for clip in clips if clip.name in splits[0].clips("test")]
        print(f"\nTo export this model and to try it:\n{next_commands(output, tested[0].path)}")


def check_options(config: Config, unlabelled: Path | None) -> None:
    """Check the recipe against the number of processes, and the folder of music without labels against the recipe.

    Raises:
        TrainingError: they do not fit.
    """
    processes = distributed.world_size()
    if config.batch % processes or config.batch < MIN_BATCH * processes:
        raise TrainingError(f"--batch must be a multiple of {processes} processes, and two chunks or more for each.")
    if unlabelled and config.teacher == "none":
        raise TrainingError("--unlabelled needs --teacher, which gives targets to music without labels.")


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
    places = (folder / inside / "last.ckpt" for inside in FOLDERS)
    return [path for path in places if path.exists()]


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
    if checkpoint.split_sha256 != model_split(split, config).sha256() or checkpoint.config != asdict(config):
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
