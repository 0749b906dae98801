"""What a chunk costs: librosa and a CNN, this project's features in PyTorch, and its ONNX graph on CPU and CUDA.

`python -m benchmarks.graph` prints milliseconds per chunk against batch size and cores, features and network apart, and
the graph's ten dearest operators, and writes them down with a plot.
"""

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import onnxruntime
import psutil
from numpy.typing import NDArray

from benchmarks.machine import machine
from benchmarks.timing import compare, write_result
from benchmarks.ways import APART, LIBROSA, ORT, ORT_CUDA, TORCH, Process, chunks
from serving.settings import ARTIFACTS

mpl.use("agg")
import matplotlib.pyplot as plt

RESULT = Path(__file__).parent / "results" / "graph.json"
LIBROSA_MOST = 16  # chunks: it takes them one by one, and more would only take longer
MEMORY = 8e6  # bytes that a chunk takes of a way at its height, about
DEAREST = 10


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
    result: dict[str, Any] = {"ms_per_chunk": {}, "ms_per_chunk_apart": {}}
    for count in sorted({1, len(cores)}):
        with Process(model, cores[:count]) as torchs, Process(model, cores[:count]) as sessions:
            for batch in batches:
                if batch * MEMORY > psutil.virtual_memory().available:
                    print(f"\n{count} cores, batch of {batch}: left out, for want of memory")
                    continue
                ways = {TORCH: torchs, ORT: sessions}
                if batch <= LIBROSA_MOST:
                    ways[LIBROSA] = torchs
                if sessions.has(ORT_CUDA):
                    ways[ORT_CUDA] = sessions
                taken = compare({name: partial(way.time, name, batch) for name, way in ways.items()}, seconds=seconds)
                result["ms_per_chunk"][f"{count} cores, batch {batch}"] = _per_chunk(taken, batch)
                _show(f"{count} cores, batch of {batch}", _per_chunk(taken, batch))
            taken = compare({name: partial(torchs.time, name, 10) for name in APART}, seconds=seconds)
            result["ms_per_chunk_apart"][f"{count} cores, batch 10"] = _per_chunk(taken, 10)
            _show(f"{count} cores, batch of 10, apart", _per_chunk(taken, 10))
    result["operators"] = operators(model, chunks(10))
    print("\nshare of the graph's time on one core, ten chunks")
    for name, share in result["operators"].items():
        print(f"  {name:<24}{100 * share:6.1f} %")
    one = result["ms_per_chunk"]["1 cores, batch 10"]
    result["times_faster_than_librosa"] = round(one[LIBROSA] / one[ORT], 2)
    print(f"\none core, ten chunks: {result['times_faster_than_librosa']} times as fast as librosa and the CNN")
    result["timed"] = (
        "from waveforms in memory to log-probabilities, in processes of their own that take turns; medians"
    )
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
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[1, 4, 10, 64, 256, 1024, 4096], help="chunks in a batch; with 10"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="to spend on each figure")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write, and beside it a plot")
    args = parser.parse_args(argv)
    args.batches = sorted({10, *args.batches})
    return args


if __name__ == "__main__":
    run(**vars(parse_args()))
