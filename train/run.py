"""A whole training run: decode, extract, fit, score, write."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from audio import CHUNK_SAMPLES, SAMPLE_RATE
from train.checkpoint import load_checkpoint
from train.config import Config
from train.data import Chunks, decode_clips, extract, find_clips
from train.errors import TrainingError
from train.features import Features
from train.fit import Fit
from train.scores import plot_confusion, score, table, uncertain_below
from train.splits import PARTS, load_split, split_sha256, split_table


def run(data: Path, output: Path, config: Config, *, split: str, resume: bool, device: str) -> None:
    """Trains, scores the best checkpoint on the clips of each part, and writes into it what it reaches.

    Args:
        data: a folder with a folder of clips for each genre.
        output: a folder for best.ckpt, last.ckpt, split.csv, metrics.json and confusion.png.
        config: the recipe.
        split: `fault-filtered`, or the path of a table with the columns clip and split.
        resume: go on from output/last.ckpt.
        device: auto, cuda or cpu.

    Raises:
        TrainingError: something the user named is not there or not fit.
    """
    where = choose_device(device)
    last = output / "last.ckpt"
    if resume:
        load_checkpoint(last)  # before minutes of decoding
    elif last.exists():
        raise TrainingError(f"{output} holds a run already; --resume goes on with it, or name another folder.")
    assigned = load_split(split)
    found = find_clips(data)
    chosen = [clip for clip in found if clip.name in assigned]
    print(f"{len(chosen)} of {len(found)} clips are in the split {split}; decoding them", flush=True)
    clips, waveforms = decode_clips(chosen)
    used = {clip.name: assigned[clip.name] for clip in clips}
    if missing := [part for part in PARTS if part not in used.values()]:
        hint = "; --split takes a CSV file for other music than GTZAN" if split == "fault-filtered" else ""
        raise TrainingError(f"The split {split} leaves no clip of {data} to {' and '.join(missing)}{hint}.")
    labels = sorted({clip.genre for clip in clips if used[clip.name] == "train"})
    if unknown := {clip.genre for clip in clips} - set(labels):
        raise TrainingError(f"The split {split} leaves no clip of the genre {min(unknown)} to train.")

    count = sum(part == "train" for part in used.values())
    facts: dict[str, Any] = {
        "trained_on": f"{count} clips of {data.resolve().name}, split {Path(split).name}",
        "split_sha256": split_sha256(used),
    }
    fit = Fit(config, labels, where, facts)
    if resume:
        fit.resume(last)
    output.mkdir(parents=True, exist_ok=True)
    (output / "split.csv").write_text(split_table(used), encoding="utf-8")
    features = Features().to(where)
    sets: dict[str, tuple[torch.Tensor, Chunks]] = {}
    for part in PARTS:
        places = [index for index, clip in enumerate(clips) if used[clip.name] == part]
        hop = round(config.hop * SAMPLE_RATE) if part == "train" else CHUNK_SAMPLES
        chunks = Chunks([clips[place] for place in places], [waveforms[place] for place in places], labels, hop)
        sets[part] = (extract(chunks, features, where), chunks)
        print(f"{part}: {len(places)} clips, {len(chunks)} chunks", flush=True)

    fit.run(sets["train"], sets["valid"], output)
    finish(sets, output, facts)


def finish(sets: dict[str, tuple[torch.Tensor, Chunks]], output: Path, facts: dict[str, Any]) -> None:
    """Scores best.ckpt on every part, keeps the figures in it and beside it, and prints them."""
    checkpoint = load_checkpoint(output / "best.ckpt")
    network = checkpoint.network()
    scores = {part: score(network, *sets[part]) for part in PARTS}
    metrics = {part: scores[part].metrics() for part in PARTS}
    checkpoint = replace(checkpoint, **facts, metrics=metrics, uncertain_below=uncertain_below(scores["valid"]))
    checkpoint.save(output / "best.ckpt")
    (output / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    plot_confusion(metrics["test"], checkpoint.labels, output / "confusion.png")
    epoch = len(checkpoint.history)
    print(f"\nBest by validation: epoch {epoch}, in {output / 'best.ckpt'}")
    for part in PARTS:
        print(f"\n{part}\n{table(metrics[part], checkpoint.labels)}")


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is CUDA where there is one.

    Raises:
        TrainingError: CUDA is asked for and absent.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("PyTorch finds no CUDA device; --device cpu trains without one.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
