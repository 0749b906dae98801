"""What a chunk costs: librosa and a CNN, this project's features in PyTorch, and its ONNX graph on CPU and CUDA.

`python -m benchmarks.graph` prints milliseconds per chunk against batch size and cores, features and network apart, and
the graph's ten dearest operators, and writes them down with a plot.
"""

import argparse
import contextlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import librosa
import matplotlib as mpl
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from audio import CHUNK_SAMPLES, SAMPLE_RATE
from audio.sample import synthesise
from benchmarks.baseline import librosa_features
from benchmarks.machine import machine
from benchmarks.timing import compare, write_result
from serving.session import GenreSession, ModelError
from serving.settings import ARTIFACTS
from train.model import GenreNet

mpl.use("agg")
import matplotlib.pyplot as plt

RESULT = Path(__file__).parent / "results" / "graph.json"
LIBROSA, TORCH, ORT, ORT_CUDA = (
    "librosa + torch CNN",
    "torch features + network",
    "ONNX Runtime CPU",
    "ONNX Runtime CUDA",
)
LIBROSA_MOST = 16  # chunks: it takes them one by one, and more would only take longer
DEAREST = 10


def chunks(count: int) -> NDArray[np.float32]:
    """Stretches of the sample's music at different speeds, float32 (count, 66150)."""
    music = synthesise()
    chance = np.random.default_rng(0)
    places = chance.uniform(0, len(music), (count, 1)) + chance.uniform(0.8, 1.25, (count, 1)) * np.arange(
        CHUNK_SAMPLES
    )
    return music[places.astype(np.int64) % len(music)]


class Ways:
    """The ways from chunks to log-probabilities, on so many cores."""

    def __init__(self, model: Path, cores: int) -> None:
        """Load them; on the cores that this process has from now on."""
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
        torch.set_num_threads(cores)
        self.original = GenreNet(10, "original").eval()
        self.network = GenreNet(10, "statistics").eval()
        self.session = GenreSession(model, provider="cpu", threads=cores)
        self.cuda: GenreSession | None = None
        with contextlib.suppress(ModelError):
            self.cuda = GenreSession(model, provider="cuda")

    @torch.inference_mode()
    def librosa(self, waveforms: NDArray[np.float32]) -> None:
        """Features chunk by chunk, then the CNN."""
        self.original.classify(self.librosa_features(waveforms))

    def librosa_features(self, waveforms: NDArray[np.float32]) -> torch.Tensor:
        """Images (batch, 5, 40, 130)."""
        return torch.from_numpy(np.stack([librosa_features(waveform) for waveform in waveforms]))

    @torch.inference_mode()
    def torch(self, waveforms: NDArray[np.float32]) -> None:
        """The network that is exported, before it is."""
        self.network(torch.from_numpy(waveforms))

    def complete(self, waveforms: NDArray[np.float32]) -> dict[str, Callable[[], object]]:
        """All ways, for this batch."""
        ways: dict[str, Callable[[], object]] = {
            TORCH: lambda: self.torch(waveforms),
            ORT: lambda: self.session.run(waveforms),
        }
        if len(waveforms) <= LIBROSA_MOST:
            ways[LIBROSA] = lambda: self.librosa(waveforms)
        if cuda := self.cuda:
            ways[ORT_CUDA] = lambda: cuda.run(waveforms)
        return ways

    def apart(self, waveforms: NDArray[np.float32]) -> dict[str, Callable[[], object]]:
        """Features and networks, each alone."""
        batch = torch.from_numpy(waveforms)
        with torch.inference_mode():
            images = self.librosa_features(waveforms)
            statistics = self.network.prepare(batch)

        def inferred(act: Callable[[], object]) -> Callable[[], object]:
            return torch.inference_mode()(act)

        return {
            "features, librosa": lambda: self.librosa_features(waveforms),
            "features, torch": inferred(lambda: self.network.features(batch)),
            "features and statistics, torch": inferred(lambda: self.network.prepare(batch)),
            "original CNN, torch": inferred(lambda: self.original.classify(images)),
            "network, torch": inferred(lambda: self.network.classify(statistics)),
        }


def operators(model: Path, waveforms: NDArray[np.float32], runs: int = 10) -> dict[str, float]:
    """Shares of the session's time by operator, the dearest first, on one core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for _ in range(runs):
            session.run(None, {"waveform": waveforms})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    spent: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
    return {name: time / spent.total() for name, time in spent.most_common(DEAREST)}


def run(model: Path, batches: Sequence[int], output: Path, seconds: float) -> dict[str, Any]:
    """Time all, print and write."""
    cores = sorted(os.sched_getaffinity(0))
    music = chunks(max(batches))
    librosa.beat.beat_track(y=music[0], sr=SAMPLE_RATE)  # compiled by numba when first called
    counts = sorted({1, len(cores)}, reverse=True)  # a process gives cores up, and does not get them back
    result: dict[str, Any] = {"ms_per_chunk": {}, "ms_per_chunk_apart": {}}
    for count in counts:
        ways = Ways(model, count)
        for batch in batches:
            taken = compare(ways.complete(music[:batch]), seconds=seconds)
            result["ms_per_chunk"][f"{count} cores, batch {batch}"] = _per_chunk(taken, batch)
            _show(f"{count} cores, batch of {batch}", _per_chunk(taken, batch))
        apart = _per_chunk(compare(ways.apart(music[:10]), seconds=seconds), 10)
        result["ms_per_chunk_apart"][f"{count} cores, batch 10"] = apart
        _show(f"{count} cores, batch of 10, apart", apart)
    result["operators"] = operators(model, music[:10])
    print("\nshare of the graph's time on one core, ten chunks")
    for name, share in result["operators"].items():
        print(f"  {name:<24}{100 * share:6.1f} %")
    one = result["ms_per_chunk"]["1 cores, batch 10"]
    result["times_faster_than_librosa"] = round(one[LIBROSA] / one[ORT], 2)
    print(f"\none core, ten chunks: {result['times_faster_than_librosa']} times as fast as librosa and the CNN")
    result["timed"] = "from waveforms in memory to log-probabilities; medians of turns taken in one process"
    result["machine"] = machine("librosa", "numpy", "onnxruntime-gpu", "onnxruntime", "torch")
    write_result(output, result)
    plot(result["ms_per_chunk"], output.with_suffix(".png"))
    return result


def _per_chunk(taken: dict[str, float], batch: int) -> dict[str, float]:
    return {name: round(1000 * seconds / batch, 3) for name, seconds in taken.items()}


def _show(title: str, figures: dict[str, float]) -> None:
    print(f"\n{title}: ms per chunk", flush=True)
    for name, milliseconds in figures.items():
        print(f"  {name:<34}{milliseconds:8.2f}", flush=True)


def plot(figures: dict[str, dict[str, float]], path: Path) -> None:
    """Milliseconds per chunk against batch size, a line for each way and number of cores."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    lines: dict[str, list[tuple[int, float]]] = {}
    for title, row in figures.items():
        cores, _, batch = title.partition(", batch ")
        for name, milliseconds in row.items():
            lines.setdefault(f"{name}, {cores}", []).append((int(batch), milliseconds))
    for name, points in sorted(lines.items()):
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="chunks in a batch", ylabel="ms per chunk")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m benchmarks.graph`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graph", description=__doc__)
    parser.add_argument("--model", type=Path, default=ARTIFACTS / "genre.onnx")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 10, 64, 256], help="chunks in a batch; with 10")
    parser.add_argument("--seconds", type=float, default=2.0, help="to spend on each figure")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write, and beside it a plot")
    args = parser.parse_args(argv)
    args.batches = sorted({10, *args.batches})
    return args


if __name__ == "__main__":
    run(**vars(parse_args()))
