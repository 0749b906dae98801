"""The effect of adaptive batching: `python -m benchmarks.batching` times the service with it and without it.

Two servers take turns: one joins the chunks of waiting requests into one run of the session, the other gives each
request a run of its own. Both use CUDA where there is a GPU.
"""

import argparse
import re
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import matplotlib as mpl

from benchmarks.machine import machine
from benchmarks.timing import write_result
from benchmarks.traffic import measure
from tests.support.server import Server
from tests.support.songs import Song, recording

mpl.use("agg")
import matplotlib.pyplot as plt

RESULT = Path(__file__).parent / "results" / "batching.json"
SERVERS = {"on": "serving.service:GenreClassifier", "off": "benchmarks.unbatched:GenreClassifier"}
LENGTHS, CLIENTS = (3, 30), (1, 4, 16, 64)
Figures = dict[str, Any]


def run(lengths: Sequence[int], clients: Sequence[int], seconds: float, output: Path) -> Figures:
    """Measure, print and write everything."""
    result: Figures = {}
    with ExitStack() as stack:
        servers = {}
        for name, service in SERVERS.items():
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            servers[name] = Server(home, service, GENRE_PROVIDER="auto")
            stack.callback(servers[name].stop)
            servers[name].wait()
        result["model"] = provider(servers["on"])
        print(result["model"])
        print(f"{'':<8}{'clients':>8}{'batching':>10}{'p50':>10}{'p99 ms':>10}{'a second':>10}{'rows':>8}")
        for length in lengths:
            song = recording("FLAC", length)
            for count in clients:
                measured = {name: _measure(server, song, count, seconds) for name, server in servers.items()}
                result[f"{length} s, {count} clients"] = measured
                for name, each in measured.items():
                    columns = "".join(f"{each[key]:>10.1f}" for key in ("p50_ms", "p99_ms", "a_second"))
                    print(f"{length:>6} s{count:>8}{name:>10}{columns}{each['rows_a_run']:>8.1f}", flush=True)
    result["timed"] = f"FLAC files sent by Locust, {seconds:g} s for each figure; rows: chunks in a run of the session"
    result["machine"] = machine("bentoml", "locust", "onnxruntime-gpu", "onnxruntime")
    write_result(output, result)
    plot(result, lengths, clients, output.with_suffix(".png"))
    return result


def _measure(server: Server, song: Song, clients: int, seconds: float) -> Figures:
    before = session_rows_and_runs(server)
    measured = measure(server.url, song, clients=clients, seconds=seconds)
    rows, runs = (after - earlier for after, earlier in zip(session_rows_and_runs(server), before, strict=True))
    return {**measured, "rows_a_run": round(rows / max(runs, 1), 2)}


def session_rows_and_runs(server: Server) -> tuple[float, float]:
    """Chunks that the session has classified, and the runs it took."""
    text = _metrics(server)
    rows, runs = (
        sum(float(value) for value in re.findall(rf"^genre_session_rows_{of}\S* (\S+)$", text, re.MULTILINE))
        for of in ("sum", "count")
    )
    return rows, runs


def provider(server: Server) -> str:
    """The execution provider of the session."""
    found = re.search(r'^genre_model_info\{.*provider="(\w+)"', _metrics(server), re.MULTILINE)
    return found[1] if found else ""


def _metrics(server: Server) -> str:
    with urlopen(f"{server.url}/metrics", timeout=10) as answer:  # noqa: S310 (on loopback)
        return str(answer.read().decode())


def plot(result: Figures, lengths: Sequence[int], clients: Sequence[int], path: Path) -> None:
    """Requests a second and median latency against clients."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for axes, (key, label) in zip(panels, (("a_second", "requests a second"), ("p50_ms", "p50, ms")), strict=True):
        for colour, length in enumerate(lengths):
            for name, style in zip(SERVERS, ("-", ":"), strict=True):
                values = [result[f"{length} s, {count} clients"][name][key] for count in clients]
                axes.plot(clients, values, style, marker="o", color=f"C{colour}", label=f"{length} s, batching {name}")
        axes.set(xscale="log", yscale="log", xlabel="clients", ylabel=label)
        axes.set_xticks(clients, [str(count) for count in clients])
        axes.grid(visible=True, which="both", alpha=0.3)
    panels[0].legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m benchmarks.batching`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batching", description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="lengths of the clips, in seconds")
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS, help="numbers of clients")
    parser.add_argument("--seconds", type=float, default=5.0, help="time to send requests for each figure")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write, and beside it a plot")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(**vars(parse_args()))
