"""The way of chunks from the decoders to the model: `python -m benchmarks.pipe` times it without either end.

A real `bentoml serve` whose session does nothing. First each front process classifies clips whose chunks lie in the
decoders' slots already: chunks a second from slot to session, and what a chunk costs the model's process and the
fronts. Then files are sent and decoded: what a request costs outside decoding and the graph. With --against, the same
of an earlier revision, in turns.
"""

import argparse
import asyncio
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.batching import session_rows_and_runs
from benchmarks.machine import machine
from benchmarks.timing import write_result
from tests.support import ROOT
from tests.support.client import connect
from tests.support.server import FRONT, MODEL, Server
from tests.support.songs import recording

RESULT = Path(__file__).parent / "results" / "pipe.json"
SERVICE = Path(__file__).with_name("pipe_service.py")
HERE = "here"
CLIP, CLIENTS = 30, 8
LARGEST_BATCH = 64  # as on a GPU, which the pipe has to feed
WARM_UP_SECONDS, WINDOWS, TURN_SECONDS = 2.0, 5, 1.0
PARTS = {"model": MODEL, "front": FRONT}
Figures = dict[str, float]


@contextmanager
def serve(root: Path, **variables: str) -> Iterator[Server]:
    """A server of a revision's code whose session does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copy(SERVICE, home)
        service = f"{SERVICE.stem}:GenreClassifier"
        variables |= {"PYTHONPATH": str(root), "GENRE_MAX_BATCH_SIZE": str(LARGEST_BATCH)}
        with Server(home, service, cwd=home, **variables) as server:
            yield server


def slot_to_session(root: Path, chunks: int, seconds: float) -> Figures:
    """Classify clips of so many chunks, which are decoded already, for some seconds, of which the fastest count."""
    with serve(root, GENRE_PIPE_CHUNKS=str(chunks)) as server:
        time.sleep(WARM_UP_SECONDS)
        return fastest([_window(server, seconds / WINDOWS) for _ in range(WINDOWS)])


def _window(server: Server, seconds: float) -> Figures:
    (rows, runs), cpu, begin = session_rows_and_runs(server), _cpu(server), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begin
    used = {name: after - cpu[name] for name, after in _cpu(server).items()}
    rows_after, runs_after = session_rows_and_runs(server)
    rows, runs = rows_after - rows, runs_after - runs
    return {
        "chunks_a_second": rows / took,
        **{f"{word}_ms": 1000 * used[part] / rows for word, part in PARTS.items()},
        "rows_a_run": rows / runs,
        "cores": sum(used.values()) / took,
    }


def request(roots: dict[str, Path], seconds: float) -> dict[str, Figures]:
    """Send a file over and over for some seconds to each revision, all of which are up, a second each in turns."""
    song = recording("MP3", CLIP)

    async def send(server: Server) -> int:
        async with connect(server.url, [song], CLIENTS) as client:
            return 1 + len(await client.closed_loop([song], CLIENTS, TURN_SECONDS))

    used, answers = {name: Counter[str]() for name in roots}, Counter[str]()
    with ExitStack() as stack:
        servers = {name: stack.enter_context(serve(root)) for name, root in roots.items()}
        for turn in range(1 + round(seconds / TURN_SECONDS)):
            for name, server in servers.items():
                before = _cpu(server)
                count = asyncio.run(send(server))
                if turn:  # the first warms it up
                    used[name].update({part: after - before[part] for part, after in _cpu(server).items()})
                    answers[name] += count
    return {
        name: {f"{word}_ms": 1000 * used[name][part] / answers[name] for word, part in PARTS.items()} for name in roots
    }


def _cpu(server: Server) -> dict[str, float]:
    """Seconds of the processor that the workers of each service have used, without their decoders."""
    return {name: sum(sum(each.cpu_times()[:2]) for each in server.workers(name)) for name in (MODEL, FRONT)}


def fastest(figures: Sequence[Figures]) -> Figures:
    """Those of the time in which other loads of the machine took least."""
    return max(figures, key=lambda each: each["chunks_a_second"])


def in_turns(roots: dict[str, Path], chunks: int, seconds: float, rounds: int) -> dict[str, Figures]:
    """The fastest of `slot_to_session` of each revision."""
    seen: dict[str, list[Figures]] = {name: [] for name in roots}
    for _ in range(rounds):
        for name, root in roots.items():
            seen[name].append(slot_to_session(root, chunks, seconds))
    return {name: fastest(figures) for name, figures in seen.items()}


def run(chunks: Sequence[int], against: str | None, seconds: float, rounds: int, output: Path) -> dict[str, Any]:
    """Measure, print and write everything."""
    result: dict[str, Any] = {"slot_to_session": {}}
    with tempfile.TemporaryDirectory() as folder:
        roots = {HERE: ROOT}
        if against:
            roots[against] = Path(folder)
            archive = subprocess.run(["git", "archive", against], cwd=ROOT, capture_output=True, check=True).stdout
            subprocess.run(["tar", "--extract", "--directory", folder], input=archive, check=True)
        for count in chunks:
            each = _rounded(in_turns(roots, count, seconds, rounds))
            result["slot_to_session"][f"clips of {count} chunks"] = each
            for name, figures in each.items():
                print(f"clips of {count} chunks, {name}: {_shown(figures)}", flush=True)
        result["request"] = _rounded(request(roots, seconds * rounds))
        for name, figures in result["request"].items():
            print(f"a request of {CLIP} s, {name}: {_shown(figures)}", flush=True)
    result["timed"] = (
        f"{rounds} servers in turns, {seconds:g} s each; a session that does nothing, batches up to {LARGEST_BATCH}; "
        "milliseconds of the processor in the model's process and in the fronts. From slot to session, the fastest "
        f"{seconds / WINDOWS:g} s, when so many cores were at work; for a request, MP3 files of {CLIP} s by {CLIENTS} "
        "clients, without their decoders"
    )
    result["machine"] = machine("bentoml", "aiohttp", "uvicorn", "numpy", "onnxruntime", "onnxruntime-gpu")
    write_result(output, result)
    if against:
        print(table(result))
    return result


def table(result: dict[str, Any]) -> str:
    """Markdown: what a run with --against has measured, for docs/benchmarks.md."""
    lines = ["| | here | before | here / before |", "|---|---|---|---|"]

    def add(name: str, here: float, before: float, digits: int) -> None:
        lines.append(f"| {name} | {here:.{digits}f} | {before:.{digits}f} | {here / before:.2f} |")

    for name, each in result["slot_to_session"].items():
        here, before = each.values()
        add(f"{name}: chunks a second", here["chunks_a_second"], before["chunks_a_second"], 0)
        add("cores at work", here["cores"], before["cores"], 2)
        add("CPU of a chunk in the model's process, ms", here["model_ms"], before["model_ms"], 3)
        add("CPU of a chunk in the fronts, ms", here["front_ms"], before["front_ms"], 3)
    here, before = (sum(each.values()) for each in result["request"].values())
    add(f"CPU of a request of {CLIP} s without decoding and graph, ms", here, before, 1)
    return "\n".join(lines)


def _rounded(figures: dict[str, Figures]) -> dict[str, Figures]:
    return {name: {key: round(value, 4) for key, value in each.items()} for name, each in figures.items()}


def _shown(figures: Figures) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in figures.items())


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m benchmarks.pipe`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipe", description=__doc__)
    parser.add_argument("--chunks", type=int, nargs="+", default=(10, 32), help="chunks of a clip")
    parser.add_argument("--against", help="an earlier revision of this repository to time in turns with the code here")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each figure")
    parser.add_argument("--rounds", type=int, default=3, help="servers for each figure")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(**vars(parse_args()))
