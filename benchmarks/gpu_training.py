"""Checks of training in PyTorch: parity of exported graphs, features and crops on the device, AMP, torchrun."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from benchmarks.gpu_report import Findings, batch_of, chunks_to_try, why_no_torch_cuda
from export.graph import write_graph
from export.parity import compare, open_sessions
from export.signals import chord, clicks, synthetic_chunks
from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE
from tests.support import ROOT
from train import distributed
from train.config import Config
from train.data.augmentation import Crops
from train.data.chunks import Chunks
from train.data.clips import Clip, Waveform
from train.data.inputs import Inputs, prepare_all
from train.network import head
from train.network.checkpoint import Checkpoint
from train.network.table import build_network
from train.trainer import Trainer

NETS = ("transfer", "cnn")
GENRES = ("slow chords", "fast chords", "clicks", "noise")
MFCC, MFCC_TOLERANCE = slice(0, 3), 2e-3  # of the five images, those without a decision in them; in dB
LOGMEL_TOLERANCE = 1e-3
SEEDS, NAMED = 3, 3
EXPORT_BATCHES = (1, 7)
MIN_NOISE = 0.05  # of an accuracy, when the seeds happen to agree


def check_export(findings: Findings) -> None:
    """Graphs that are exported here agree with PyTorch, on every provider that works here."""
    for net in NETS[:1] if findings.quick else NETS:
        network = build_network(net, 3).eval()
        chunks = synthetic_chunks()
        with torch.inference_mode():
            prepared = network.prepare(torch.from_numpy(np.stack(list(chunks.values())))).clone()
        labels = ["blues", "polka", "rock"]
        if net == "transfer":
            head.fit(network, prepared, torch.arange(len(prepared)) % 3, labels)
        else:
            network.standardise.fit(prepared)
        weights, standardise = network.classifier.state_dict(), network.standardise
        familiar = -2.5 if net == "transfer" else None
        checkpoint = Checkpoint(
            weights, labels, standardise.mean, standardise.deviation, net=net, recognised_above=familiar
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "genre.onnx"
            network = write_graph(checkpoint, path)
            sessions, missing = open_sessions(path)
            for sentence in missing:
                findings.skip(f"{net}, exported", sentence)
            for row in compare(network, sessions, chunks_to_try(quick=True), EXPORT_BATCHES):
                name = f"{net}, {row.provider}, batch {row.batch}"
                findings.figures[name] = {"chunks": len(row.names), "beyond": len(row.beyond)}
                named = ", ".join(row.beyond[:NAMED])
                findings.require(row.agrees, f"{name}: {len(row.beyond)} chunks are beyond the tolerance: {named}, ...")


def check_features(findings: Findings) -> None:
    """The front ends give on CUDA what they give on a CPU, and crops that are made there are those of a CPU."""
    if why := why_no_torch_cuda():
        findings.skip("features and crops on CUDA", why)
        return
    device = distributed.init_process_group("cuda")
    chunks = torch.from_numpy(batch_of(chunks_to_try(quick=findings.quick), 64))
    with torch.inference_mode():
        for net, part, tolerance in (("cnn", MFCC, MFCC_TOLERANCE), ("transfer", slice(None), LOGMEL_TOLERANCE)):
            network = build_network(net, 10).eval()
            frontend: Any = network.frontend
            if net == "transfer":
                frontend = torch.nn.Sequential(frontend.level, frontend.logmel)
            expected = frontend(chunks)[:, part]
            given = frontend.to(device)(chunks.to(device))[:, part].cpu()
            median = (given - expected).flatten(1).abs().amax(dim=1).median()
            findings.figures[f"{net}, largest difference of the median chunk"] = float(median)
            findings.require(bool(median < tolerance), f"{net}: features differ by {median:.1e}")
    config = Config(cache=0)
    inputs = _inputs(_clips(4, seed=0), config, device)
    assert inputs.crops
    keys = torch.arange(len(inputs.chunks))
    begin = time.perf_counter()
    (crops,) = replace(inputs, prepare=lambda waveform: waveform).sample_batches([keys], [0], device)
    findings.figures["crops_seconds"] = round(time.perf_counter() - begin, 3)
    expected = torch.stack([inputs.crops[index, index] for index in keys.tolist()])
    difference = (crops.cpu() - expected)[:, 100:-100].abs().median()
    findings.require(crops.device.type == "cuda", "the crops are not made on the GPU")
    findings.require(bool(difference < 1e-2), f"crops differ from those of a CPU by {difference:.1e}")  # noqa: PLR2004


def check_amp(findings: Findings) -> None:
    """The CNN in mixed precision reaches the validation accuracy that it reaches in float32 on a CPU, within noise."""
    cpu = torch.device("cpu")
    if why := why_no_torch_cuda():
        findings.skip("float16 with a gradient scaler on CUDA", f"{why}; bfloat16 on the CPU in its place")
        mixed, device, precision = "CPU, bfloat16", cpu, "bfloat16"
    else:
        mixed, device, precision = "CUDA, float16", distributed.init_process_group("cuda"), "float16"
    config = Config(epochs=2 if findings.quick else 3, batch=16, cache=1, recalibrate=True)
    music = [_clips(4 if findings.quick else 12, seed) for seed in (0, 1)]
    inputs = {where: [_inputs(clips, config, where) for clips in music] for where in {cpu, device}}
    accuracies = {}
    for name, where, kind in (("CPU, float32", cpu, "float32"), (mixed, device, precision)):
        begin = time.perf_counter()
        train, valid = inputs[where]
        recipes = [replace(config, precision=kind, seed=seed) for seed in range(SEEDS)]
        accuracies[name] = [_validated(recipe, train, valid, where) for recipe in recipes]
        seconds = round(time.perf_counter() - begin, 1)
        findings.figures[name] = {"valid_chunk_accuracy": accuracies[name], "seconds": seconds}
    if findings.quick:  # two epochs on a few clips say nothing
        return
    float32, low = accuracies.values()
    noise = max(MIN_NOISE, 2 * float(np.hypot(np.std(float32, ddof=1), np.std(low, ddof=1))))
    worse = float(np.mean(float32) - np.mean(low))
    findings.require(worse <= noise, f"{mixed}: {worse:.3f} below float32 on a CPU, more than the noise, {noise:.3f}")
    for name, values in accuracies.items():
        findings.require(float(np.mean(values)) > 2 / len(GENRES), f"{name}: the network has not learned")


def _validated(config: Config, train: Inputs, valid: Inputs, device: torch.device) -> float:
    """The accuracy of the best epoch on the validation chunks."""
    trainer = Trainer(config, list(GENRES), device, {})
    with tempfile.TemporaryDirectory() as folder:
        trainer.run(train, valid, Path(folder))
    return round(trainer.best["valid_chunk_accuracy"], 4)


def _clips(count: int, seed: int) -> tuple[list[Clip], list[Waveform]]:
    """So many clips for each of four genres that overlap, of 6 seconds each."""
    rng = np.random.default_rng(seed)
    clips, waveforms = [], []
    for number in range(count):
        for genre in GENRES:
            pulse = clicks(rng.uniform(70, 130) if genre == "slow chords" else rng.uniform(110, 190))
            sound = {"clicks": pulse, "noise": 0.0 * pulse}.get(genre, pulse + chord(rng.uniform(400, 480)))
            loud = np.tile(sound, 2) + rng.uniform(0.02, 0.4) * rng.standard_normal(2 * CHUNK_SAMPLES)
            clips.append(Clip(f"{genre}.{number}", genre, Path()))
            waveforms.append(loud.astype(np.float32))
    return clips, waveforms


def _inputs(music: tuple[list[Clip], list[Waveform]], config: Config, device: torch.device) -> Inputs:
    chunks = Chunks(*music, list(GENRES))
    network = build_network(config.net, len(GENRES)).to(device).eval()
    return prepare_all(
        chunks, lambda waveform: network.prepare(waveform.to(device)), Crops(chunks, config), config.cache
    )


def check_torchrun(findings: Findings) -> None:
    """One step of `python -m train` under torchrun: NCCL, SyncBatchNorm and the gradients of all GPUs; else gloo."""
    why = why_no_torch_cuda()
    processes = 2 if why else torch.cuda.device_count()
    if why:
        findings.skip("torchrun with NCCL", why)
    elif processes < 2:  # noqa: PLR2004
        findings.skip("several GPUs", "there is only one, so NCCL connects one process with itself")
    with _folders() as (data, output):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command += ["-m", "train", "--data", str(data), "--output", str(output), "--split", "random-chunk"]
        command += ["--epochs", "1", "--batch", "8", "--device", "cpu" if why else "cuda", "--cache", "0"]
        begin = time.perf_counter()
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        findings.figures |= {"processes": processes, "seconds": round(time.perf_counter() - begin, 1)}
        findings.require(ended.returncode == 0, f"torchrun failed: {ended.stderr[-500:]}")
        findings.require((output / "best.ckpt").is_file(), "torchrun left no best.ckpt")


@contextmanager
def _folders() -> Iterator[tuple[Path, Path]]:
    """A folder of synthetic clips by genre, and one for a run."""
    with tempfile.TemporaryDirectory() as folder:
        data, output = Path(folder) / "music", Path(folder) / "run"
        for clip, waveform in zip(*_clips(3, seed=0), strict=True):
            place = data / clip.genre
            place.mkdir(parents=True, exist_ok=True)
            soundfile.write(place / f"{clip.name}.wav", waveform, SAMPLE_RATE)
        yield data, output
