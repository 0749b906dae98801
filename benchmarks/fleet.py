"""What a request costs of the processor, and where: `python -m benchmarks.fleet`.

The service answers as many clients as keep it busy. Its processor time divided by the requests, by what the processes
do: those at the front, their decoders, the model's. From these comes the arithmetic of docs/scale.md. Unlike requests a
second, processor time hardly depends on who else uses the machine.
"""

import argparse
import math
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.machine import machine
from benchmarks.timing import write_result
from benchmarks.traffic import measure
from genre_classifier.audio import CHUNK_SAMPLES
from tests.support.server import FRONT, MODEL, Server
from tests.support.songs import recording

RESULT = Path(__file__).parent / "results" / "fleet.json"
LENGTHS = (3, 30)  # seconds of a clip
CLIENTS, WARM_SECONDS = 8, 3.0
CHUNK = 3
PARTS = ("front", "decoders", "model")
RATES = (100, 1000, 10_000)  # requests a second of a clip of 30 seconds
POD_CORES, BUSY = 2, 0.7  # of a pod, and the share of them that may be busy: deploy/kubernetes/cpu
CHUNK_BYTES = 4 * CHUNK_SAMPLES
PRICES = (20, 50, 100)  # of a GPU, in cores


def run(music: Path | None, seconds: float, output: Path) -> dict[str, Any]:
    """Measure, print and write everything."""
    result: dict[str, Any] = {"clients": CLIENTS, "by_clip": {}}
    with tempfile.TemporaryDirectory() as home, Server(Path(home)) as server:
        for length in LENGTHS:
            song = recording("MP3", length, music)
            measure(server.url, song, clients=CLIENTS, seconds=WARM_SECONDS)
            before, session_before = spent(server), session_seconds(server.url)
            measured = measure(server.url, song, clients=CLIENTS, seconds=seconds)
            after, session_after = spent(server), session_seconds(server.url)
            row: dict[str, Any] = {"requests": measured["requests"], "statuses": measured["statuses"]}
            row["cpu_ms"] = {part: per_request(after[part] - before[part], measured) for part in PARTS}
            row["session_ms"] = per_request(session_after - session_before, measured)
            row["chunks"] = length // CHUNK
            row["a_second_here"] = measured["a_second"]
            result["by_clip"][str(length)] = row
            print(f"{length} s:", *(f"{name} {value}" for name, value in row.items()), sep="\n  ", flush=True)
    result["timed"] = f"{CLIENTS} clients for {seconds:.0f} s for each length, after {WARM_SECONDS:.0f} s"
    result["machine"] = machine("bentoml", "onnxruntime-gpu", "onnxruntime")
    write_result(output, result)
    return result


def spent(server: Server) -> dict[str, float]:
    """Processor seconds that the service's processes have used so far."""
    fronts = server.workers(FRONT)
    decoders = [child for front in fronts for child in front.children(recursive=True)]
    groups = {"front": fronts, "decoders": decoders, "model": server.workers(MODEL)}
    return {part: sum(_seconds(groups[part])) for part in PARTS}


def _seconds(processes: Sequence[psutil.Process]) -> Iterator[float]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            yield times.user + times.system


def session_seconds(url: str) -> float:
    """Seconds that the session has run so far, by the service's own metrics."""
    text = httpx.get(f"{url}/metrics").text
    found = re.search(r"^genre_session_seconds_sum\S* (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def per_request(seconds: float, measured: dict[str, Any]) -> float:
    """Milliseconds a request."""
    requests: int = measured["requests"]
    return round(1000 * seconds / requests, 2)


def costs(result: dict[str, Any]) -> str:
    """The table of processor time for docs/scale.md."""
    rows = ["| milliseconds of a core | 3 s | 30 s |", "|---|---|---|"]
    names = {"front": "receiving and answering", "decoders": "decoding", "model": "the model's process"}
    by_part = {names[part]: [result["by_clip"][str(length)]["cpu_ms"][part] for length in LENGTHS] for part in PARTS}
    by_part["together"] = [total(result, length) for length in LENGTHS]
    rows += [f"| {name} | {short:.1f} | {long:.1f} |" for name, (short, long) in by_part.items()]
    return "\n".join(rows)


def fleet(result: dict[str, Any]) -> str:
    """The table of pods for docs/scale.md."""
    heads = ("requests a second", "cores at work", "pods", "chunks a second", "their bytes, MB a second")
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for rate in RATES:
        chunks = rate * result["by_clip"]["30"]["chunks"]
        busy = rate * total(result, 30) / 1000
        pods = math.ceil(busy / (POD_CORES * BUSY))
        rows.append(f"| {rate} | {busy:.0f} | {pods} | {chunks} | {chunks * CHUNK_BYTES / 1e6:.0f} |")
    return "\n".join(rows)


def break_even(result: dict[str, Any]) -> str:
    """The table of loads from which a GPU pays for docs/scale.md."""
    rows = ["| a GPU costs as much as | it pays from, requests a second | chunks a second |", "|---|---|---|"]
    row = result["by_clip"]["30"]
    for cores in PRICES:
        rate = cores * BUSY / (row["cpu_ms"]["model"] / 1000)
        rows.append(f"| {cores} cores | {rate:.0f} | {rate * row['chunks']:.0f} |")
    return "\n".join(rows)


def total(result: dict[str, Any], length: int) -> float:
    """Milliseconds of a core that a request for a clip takes."""
    return float(sum(result["by_clip"][str(length)]["cpu_ms"].values()))


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m benchmarks.fleet`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--music", type=Path, help="a recording to cut the clips from (default: synthesised music)")
    parser.add_argument("--seconds", type=float, default=30, help="of load for each length (default: 30)")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(**vars(parse_args()))
