"""What a chunk costs: librosa and a CNN, this project's features in PyTorch, and the ONNX graph on CPU and CUDA.

`python -m benchmarks.graph` prints and writes milliseconds per chunk against batch size and cores, features and network
separately, and the ten operators of the graph that take most time; and it makes a plot.
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
import psutil
from numpy.typing import NDArray

from benchmarks.contenders import LIBROSA, ORT, ORT_CUDA, STAGES, TORCH, TURN_SECONDS, Process, chunks
from benchmarks.machine import machine
from benchmarks.timing import MIN_ROUNDS, compare, write_result
from genre_classifier.models import DEFAULT_MODEL, find_model
from genre_classifier.session import import_onnxruntime

mpl.use("agg")
import matplotlib.pyplot as plt

RESULT = Path(__file__).parent / "results" / "graph.json"
MAX_LIBROSA_CHUNKS = 16  # librosa takes them one by one: more would only take longer
PEAK_BYTES_PER_CHUNK = 8e6  # of a contender, about
TOP_OPERATORS = 10


def operators(model: Path, waveforms: NDArray[np.float32], runs: int = 10) -> dict[str, float]:
    """Shares of the session's time by operator, the largest first, on one core."""
    onnxruntime = import_onnxruntime()
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
    return {name: time / spent.total() for name, time in spent.most_common(TOP_OPERATORS)}


def run(models: Sequence[Path], batches: Sequence[int], output: Path, seconds: float) -> dict[str, Any]:
    """Time all contenders, print and write."""
    cores = sorted(os.sched_getaffinity(0))
    turn = min(TURN_SECONDS, seconds / MIN_ROUNDS)
    result: dict[str, Any] = {"ms_per_chunk": {}, "ms_per_chunk_apart": {}}
    for count in sorted({1, len(cores)}):
        with Process(cores[:count], turn) as networks, Process(cores[:count], turn) as sessions:
            for batch in batches:
                if batch * PEAK_BYTES_PER_CHUNK > psutil.virtual_memory().available:
                    print(f"\n{count} cores, batch of {batch}: left out, too little memory")
                    continue
                contenders = {TORCH: partial(networks.time, TORCH, batch)}
                for model in models:
                    for name in [ORT, ORT_CUDA] if sessions.has_cuda(model) else [ORT]:
                        contenders[with_model(name, model, models)] = partial(sessions.time, name, batch, model)
                if batch <= MAX_LIBROSA_CHUNKS:
                    contenders[LIBROSA] = partial(networks.time, LIBROSA, batch)
                taken = compare(contenders, seconds=seconds)
                result["ms_per_chunk"][f"{count} cores, batch {batch}"] = _per_chunk(taken, batch)
                _print_table(f"{count} cores, batch of {batch}", _per_chunk(taken, batch))
            taken = compare({name: partial(networks.time, name, 10) for name in STAGES}, seconds=seconds)
            result["ms_per_chunk_apart"][f"{count} cores, batch 10"] = _per_chunk(taken, 10)
            _print_table(f"{count} cores, batch of 10, by stage", _per_chunk(taken, 10))
    result["operators"] = operators(models[0], chunks(10))
    print("\nshare of the graph's time on one core, ten chunks")
    for name, share in result["operators"].items():
        print(f"  {name:<24}{100 * share:6.1f} %")
    one = result["ms_per_chunk"]["1 cores, batch 10"]
    result["times_faster_than_librosa"] = round(one[LIBROSA] / one[ORT], 2)
    print(f"\none core, ten chunks: {result['times_faster_than_librosa']} times as fast as librosa and the CNN")
    result["models"] = [model.name for model in models]
    result["timed"] = (
        "from waveforms in memory to log-probabilities, in processes of their own that take turns; medians"
    )
    result["machine"] = machine("librosa", "numpy", "onnxruntime-gpu", "onnxruntime", "torch")
    write_result(output, result)
    plot(result["ms_per_chunk"], output.with_suffix(".png"))
    return result


def with_model(name: str, model: Path, models: Sequence[Path]) -> str:
    """The name of a contender with a model: of several models, all but the first are named."""
    return name if model == models[0] else f"{name}, {model.stem}"


def _per_chunk(taken: dict[str, float], batch: int) -> dict[str, float]:
    return {name: round(1000 * seconds / batch, 3) for name, seconds in taken.items()}


def _print_table(title: str, figures: dict[str, float]) -> None:
    print(f"\n{title}: ms per chunk", flush=True)
    for name, milliseconds in figures.items():
        print(f"  {name:<34}{milliseconds:8.2f}", flush=True)


def plot(figures: dict[str, dict[str, float]], path: Path) -> None:
    """Milliseconds per chunk against batch size, a line for each contender and number of cores."""
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
    parser.add_argument(
        "--model",
        type=find_model,
        nargs="+",
        default=[find_model(DEFAULT_MODEL)],
        dest="models",
        help="genre, cnn, or ONNX files; the operators and the ratio are those of the first",
    )
    parser.add_argument(
        "--batches",
        type=int,
        nargs="+",
        default=[1, 4, 10, 64, 256, 1024, 4096],
        help="chunks in a batch; 10 is always one",
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="time to spend on each figure")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write, and beside it a plot")
    args = parser.parse_args(argv)
    args.batches = sorted({10, *args.batches})
    return args


if __name__ == "__main__":
    run(**vars(parse_args()))
