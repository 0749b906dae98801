"""Files a second of the command line, and the cost of long files: `python -m benchmarks.throughput`.

Files a second of `genre-classifier FOLDER` on one core and on all; time and memory against the length of a file, up to
an hour, and the memory of the service's front process; that hour against the same music as 120 files of 30 seconds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np

from benchmarks.machine import machine
from benchmarks.timing import write_result
from benchmarks.traffic import send
from tests.support import ROOT
from tests.support.server import FRONT, Server
from tests.support.songs import recording

mpl.use("agg")
import matplotlib.pyplot as plt

RESULT = Path(__file__).parent / "results" / "throughput.json"
KINDS, CLIP, HOUR = ("MP3", "FLAC", "WAV", "OGG"), 30, 3600
LENGTHS = (30, 300, 1200, HOUR)
MIB = 2**20
Rows = dict[str, dict[str, float]]


class Run(NamedTuple):
    """A run of the command line."""

    seconds: float
    memory: int
    """Peak resident set size in bytes."""


def classify(path: Path, cores: Sequence[int]) -> Run:
    """Run the command line on a file or a folder, on these cores only.

    Raises:
        RuntimeError: it failed; the message is its standard error.
    """
    command = [sys.executable, "-m", "genre_classifier", str(path), "--json"]
    variables = {**os.environ, "GENRE_PROVIDER": "cpu", "GENRE_MAX_SECONDS": str(2 * HOUR)}
    begin = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=partial(os.sched_setaffinity, 0, cores),  # noqa: PLW1509 (no threads here)
    ) as process:
        assert process.stderr
        errors = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(errors)
    return Run(time.perf_counter() - begin, usage.ru_maxrss * 1024)


def median(path: Path, cores: Sequence[int], rounds: int) -> Run:
    """Median time and median memory of some runs."""
    runs = [classify(path, cores) for _ in range(rounds)]
    return Run(float(np.median([run.seconds for run in runs])), int(np.median([run.memory for run in runs])))


def run(music: Path | None, files: int, hour: int, rounds: int, output: Path) -> dict[str, Any]:
    """Measure, print and write everything."""
    cores = sorted(os.sched_getaffinity(0))
    result: dict[str, Any] = {"files_a_second": {}, "length": {}}
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        for kind in KINDS:
            (folder / kind).mkdir()
            for number in range(files // len(KINDS)):
                (folder / kind / f"{number}.{kind.lower()}").write_bytes(recording(kind, CLIP, music).content)
        (folder / "one").mkdir()
        one = folder / "one" / "a.wav"
        one.write_bytes(recording("WAV", 3, music).content)
        begin = {}
        for count in sorted({1, len(cores)}):
            begin[count] = median(one, cores[:count], rounds).seconds
            print(
                f"{count} cores: {begin[count]:.2f} s to start and classify a file of 3 seconds, subtracted below",
                flush=True,
            )
            for kind in KINDS:
                seconds = median(folder / kind, cores[:count], rounds).seconds - begin[count]
                rate = round(files // len(KINDS) / seconds, 2)
                result["files_a_second"][f"{kind} of {CLIP} s, {count} cores"] = rate
                print(f"{kind:<5}of {CLIP} s, {count} cores: {rate:8.2f} files a second", flush=True)
        wanted = [length for length in LENGTHS if length < hour] + [hour]
        result["length"] = lengths(wanted, folder, music, begin[len(cores)], rounds)
        for length, memory in front_memory(wanted, folder, music).items():
            result["length"][str(length)]["front_mib"] = memory
        result["hour"] = hour_in_one_file(hour, folder, music, begin, rounds)
    result["start_s"] = {f"{count} cores": round(seconds, 2) for count, seconds in begin.items()}
    result["timed"] = f"the command line on files, less its start; medians of {rounds} runs"
    result["machine"] = machine("onnxruntime-gpu", "onnxruntime", "soundfile", "soxr")
    write_result(output, result)
    plot(result["length"], output.with_suffix(".png"))
    return result


def lengths(
    wanted: Sequence[int], folder: Path, music: Path | None, begin: float, rounds: int
) -> dict[str, dict[str, float]]:
    """Time and memory against a file's length, on all cores."""
    cores = sorted(os.sched_getaffinity(0))
    rows: Rows = {}
    for length in wanted:
        path = folder / f"{length}.flac"
        path.write_bytes(recording("FLAC", length, music).content)
        measured = median(path, cores, rounds)
        rows[str(length)] = {
            "ms_per_chunk": round((measured.seconds - begin) / (length / 3) * 1000, 2),
            "memory_mib": round(measured.memory / MIB),
        }
        print(
            f"a FLAC of {length} s",
            *(f"{key} {value}" for key, value in rows[str(length)].items()),
            sep="  ",
            flush=True,
        )
    return rows


def front_memory(wanted: Sequence[int], folder: Path, music: Path | None) -> dict[int, int]:
    """Peak resident memory of a front process of the service, in MiB, after a file of each length."""
    (folder / "home").mkdir()
    server = Server(
        folder / "home",
        GENRE_WORKERS="1",
        GENRE_MAX_SECONDS=str(2 * HOUR),
        GENRE_TIMEOUT="600",
        GENRE_MAX_WAIT="300",
    )
    highest = {}
    try:
        server.wait()
        (front,) = server.workers(FRONT)
        for length in wanted:
            (outcome,) = send(server.url, recording("MP3", length, music), clients=1, seconds=1)[:1]
            if outcome.status != HTTPStatus.OK:
                raise RuntimeError(server.log.read_text())
            status = Path(f"/proc/{front.pid}/status").read_text(encoding="utf-8")
            highest[length] = int(status.partition("VmHWM:")[2].split()[0]) // 1024
            print(f"an MP3 of {length} s  front_mib {highest[length]}", flush=True)
    finally:
        server.stop()
    return highest


def hour_in_one_file(
    hour: int, folder: Path, music: Path | None, begin: dict[int, float], rounds: int
) -> dict[str, float]:
    """Time of one long file over that of the same music in files of 30 seconds, on one core and on all."""
    cores = sorted(os.sched_getaffinity(0))
    (folder / "pieces").mkdir()
    for number in range(hour // CLIP):
        (folder / "pieces" / f"{number}.flac").write_bytes(recording("FLAC", CLIP, music).content)
    against = {}
    for count, start in begin.items():
        long, pieces = (
            median(path, cores[:count], rounds).seconds - start for path in (folder / f"{hour}.flac", folder / "pieces")
        )
        against[f"{count} cores"] = round(long / pieces, 3)
        print(f"{hour} s in one file against files of {CLIP} s, {count} cores: {long / pieces:.2f}", flush=True)
    return against


def plot(rows: Rows, path: Path) -> None:
    """Peak memory against the length of a file."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    minutes = [float(length) / 60 for length in rows]
    for key, label in (("memory_mib", "the command line"), ("front_mib", "a front process of the service")):
        axes.plot(minutes, [row[key] for row in rows.values()], marker="o", label=label)
    axes.legend(fontsize="small")
    axes.set(xlabel="minutes of music in the file", ylabel="peak resident memory, MiB", ylim=(0, None))
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m benchmarks.throughput`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--music", type=Path, help="a recording to cut the files from (default: synthesised music)")
    parser.add_argument(
        "--files", type=int, default=80, help="number of 30-second files, a quarter of them in each format"
    )
    parser.add_argument("--hour", type=int, default=HOUR, help="length of the longest file, in seconds")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, of which the median counts")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write, and beside it a plot")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(**vars(parse_args()))
