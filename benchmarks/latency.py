"""How long an answer takes: `python -m benchmarks.latency` times a real `bentoml serve` and the librosa server.

For clips of 3 seconds, 30 seconds and 5 minutes as WAV, MP3 and FLAC, at 1, 8 and 32 clients; also the cold start, and
decoding and the graph alone, without a server.
"""

import argparse
import io
import tempfile
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np

from benchmarks.baseline_server import BaselineServer
from benchmarks.machine import machine
from benchmarks.timing import compare, timed, write_result
from benchmarks.traffic import measure, multipart
from genre_classifier.audio import cut_chunks, decode
from genre_classifier.models import DEFAULT_MODEL, find_model
from genre_classifier.session import GenreSession
from tests.support.server import Server
from tests.support.songs import Song, recording

mpl.use("agg")
import matplotlib.pyplot as plt

RESULT = Path(__file__).parent / "results" / "latency.json"
SECONDS, KINDS, CLIENTS = (3, 30, 300), ("WAV", "MP3", "FLAC"), (1, 8, 32)
TYPICAL = "30 s MP3"  # the case of the cold start and of the ratios
SERVICE, LIBROSA = "service", "librosa server"
MAX_LIBROSA_SECONDS = 8 * 300  # of music in one round of all clients; more would take minutes
STEADY_REQUESTS = 30
Figures = dict[str, Any]


def cold_start(song: Song, starts: int) -> Figures:
    """Seconds from the start of the process until it is ready, and its first request beside later ones."""
    ready, first, steady = [], [], []
    for _ in range(starts):
        with tempfile.TemporaryDirectory() as home:
            server = Server(Path(home), GENRE_PROVIDER="auto")
            try:
                ready.append(server.wait())
                first.append(_classify(server.port, song))
                steady.append(float(np.median([_classify(server.port, song) for _ in range(STEADY_REQUESTS)])))
            finally:
                server.stop()
    return {
        "start_to_ready_s": round(float(np.median(ready)), 2),
        "first_request_ms": round(1000 * float(np.median(first)), 1),
        "steady_p50_ms": round(1000 * float(np.median(steady)), 1),
        "first_against_steady": round(float(np.median(np.divide(first, steady))), 2),
    }


def _classify(port: int, song: Song) -> float:
    body, content_type = multipart(song)
    with closing(HTTPConnection("127.0.0.1", port)) as connection:
        begin = perf_counter()
        connection.request("POST", "/classify", body, {"Content-Type": content_type})
        response = connection.getresponse()
        response.read()
        seconds = perf_counter() - begin
    if response.status != 200:  # noqa: PLR2004
        raise RuntimeError(f"{song.name} was answered with {response.status}.")
    return seconds


def stages_alone(song: Song, model: Path) -> dict[str, float]:
    """Milliseconds to decode a song, and to run the graph over its chunks, in this process."""
    session = GenreSession(model, provider="auto")
    chunks = cut_chunks(decode(song.content).waveform)
    stages = {"decode": timed(lambda: decode(io.BytesIO(song.content))), "graph": timed(lambda: session.run(chunks))}
    return {name: round(1000 * seconds, 2) for name, seconds in compare(stages, seconds=3.0).items()}


def run(
    lengths: Sequence[int], kinds: Sequence[str], clients: Sequence[int], music: Path | None, **options: Any
) -> Figures:
    """Measure, print and write everything; the typical case is always among the others."""
    lengths, kinds, clients = sorted({30, *lengths}), sorted({"MP3", *kinds}), sorted({1, 8, *clients})
    starts, seconds, output = options["starts"], options["seconds"], options["output"]
    files = {f"{length} s {kind}": recording(kind, length, music) for length in lengths for kind in kinds}
    result: Figures = {"cold_start": cold_start(files[TYPICAL], starts)}
    print(*(f"{key:<24}{value}" for key, value in result["cold_start"].items()), sep="\n", flush=True)
    print(f"\n{'':<12}{'clients':>8}{'':>16}{'p50':>10}{'p95':>10}{'p99 ms':>10}{'a second':>10}  answers")
    result["latency"] = {}
    with tempfile.TemporaryDirectory() as home, BaselineServer() as baseline:
        server = Server(Path(home), GENRE_PROVIDER="auto")
        try:
            server.wait()
            baseline.wait()
            for name, song in files.items():
                for count in clients:
                    urls = {SERVICE: server.url}
                    if count * float(name.split()[0]) <= MAX_LIBROSA_SECONDS:
                        urls[LIBROSA] = baseline.url
                    result["latency"][f"{name}, {count} clients"] = {
                        contender: _measure(f"{name:<12}{count:>8}{contender:>16}", url, song, count, seconds)
                        for contender, url in urls.items()
                    }
                if name == TYPICAL:  # now, close in time to the requests that they are compared with
                    result["alone_ms"] = stages_alone(song, find_model(DEFAULT_MODEL))
        finally:
            server.stop()
    result["ratios"] = ratios(result)
    print("", *(f"{key:<52}{value}" for key, value in result["ratios"].items()), sep="\n")
    result["timed"] = f"from sending a request to its answer, over loopback, by Locust; {seconds:g} s for each figure"
    result["machine"] = machine("bentoml", "librosa", "locust", "onnxruntime-gpu", "onnxruntime", "soundfile", "torch")
    write_result(output, result)
    plot(result["latency"], lengths, kinds, clients, output.with_suffix(".png"))
    return result


def _measure(title: str, url: str, song: Song, clients: int, seconds: float) -> Figures:
    measured = measure(url, song, clients=clients, seconds=seconds)
    columns = "".join(f"{measured[key]:>10.1f}" for key in ("p50_ms", "p95_ms", "p99_ms", "a_second"))
    answers = ", ".join(f"{count} x {status}" for status, count in measured["statuses"].items())
    print(f"{title}{columns}  {answers}", flush=True)
    return measured


def ratios(result: Figures) -> dict[str, float]:
    """The service against the librosa server, in the typical case."""
    one, eight = (result["latency"][f"{TYPICAL}, {clients} clients"] for clients in (1, 8))
    return {
        f"times faster, p50 of a {TYPICAL}, 1 client": round(one[LIBROSA]["p50_ms"] / one[SERVICE]["p50_ms"], 2),
        f"times the requests a second, {TYPICAL}, 8 clients": round(
            eight[SERVICE]["a_second"] / eight[LIBROSA]["a_second"], 2
        ),
    }


def plot(latency: Figures, lengths: Sequence[int], kinds: Sequence[str], clients: Sequence[int], path: Path) -> None:
    """Median latency of each format against clients, a panel for each length."""
    figure, grid = plt.subplots(
        1, len(lengths), figsize=(1 + 3.5 * len(lengths), 4), layout="constrained", squeeze=False
    )
    panels = grid[0]
    for axes, length in zip(panels, lengths, strict=True):
        for colour, kind in enumerate(kinds):
            rows = {count: latency[f"{length} s {kind}, {count} clients"] for count in clients}
            for contender, style in ((SERVICE, "-"), (LIBROSA, ":")):
                points = [(count, row[contender]["p50_ms"]) for count, row in rows.items() if contender in row]
                if points:
                    x, y = zip(*points, strict=True)
                    axes.plot(x, y, style, marker="o", color=f"C{colour}", label=f"{kind}, {contender}")
        axes.set(title=f"{length} s of music", xlabel="clients", xscale="log", yscale="log")
        axes.set_xticks(clients, [str(count) for count in clients])
        axes.grid(visible=True, which="both", alpha=0.3)
    panels[0].set_ylabel("p50, ms")
    panels[0].legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m benchmarks.latency`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=SECONDS, help="lengths of the clips, in seconds; 30 is always one"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="formats; MP3 is always one")
    parser.add_argument(
        "--clients", type=int, nargs="+", default=CLIENTS, help="numbers of clients; 1 and 8 are always among them"
    )
    parser.add_argument("--starts", type=int, default=3, help="number of cold starts")
    parser.add_argument("--music", type=Path, help="a recording to cut the clips from (default: synthesised music)")
    parser.add_argument("--seconds", type=float, default=5.0, help="time to send requests for each figure")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write, and beside it a plot")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(**vars(parse_args()))
