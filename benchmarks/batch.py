"""`python -m batch` against the command line on the same files: `python -m benchmarks.batch`.

Files a second of both, in turns, all cores and one; what a start costs; and what a part costs, from runs of many small
parts and of few large ones. From these comes the arithmetic of docs/scale.md.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.timing import compare, write_result
from tests.support import ROOT
from tests.support.songs import recording

RESULT = Path(__file__).parent / "results" / "batch.json"
CLIP, SHORT = 30, 3  # seconds
FEW, MANY = 1000, 5  # files a part: large ones as by default, and small ones
CHUNKS = CLIP // 3


def batch(source: Path, output: Path, files_per_part: int) -> list[str]:
    """The command that classifies a folder into Parquet."""
    return [sys.executable, "-m", "batch", str(source), str(output), "--files-per-part", str(files_per_part)]


def command_line(source: Path, output: Path) -> list[str]:
    """The command that classifies a folder into JSON Lines."""
    return [sys.executable, "-m", "genre_classifier", str(source), "--json", "--output", str(output)]


def contender(command: Callable[[Path], list[str]], cores: Sequence[int], folder: Path) -> Callable[[], float]:
    """A contender for `compare`: the command with a new output each time, on these cores only.

    Raises:
        RuntimeError: it failed; the message is its standard error.
    """

    def act() -> float:
        output = Path(tempfile.mkdtemp(dir=folder)) / "output"
        begin = time.perf_counter()
        done = subprocess.run(
            command(output),
            cwd=ROOT,
            env={**os.environ, "GENRE_PROVIDER": "cpu"},
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=partial(os.sched_setaffinity, 0, cores),
        )
        seconds = time.perf_counter() - begin
        if done.returncode:
            raise RuntimeError(done.stderr)
        return seconds

    return act


def run(music: Path | None, files: int, output: Path) -> dict[str, Any]:
    """Measure, print and write everything."""
    cores = sorted(os.sched_getaffinity(0))
    result: dict[str, Any] = {"files": files, "clip_s": CLIP, "by_cores": {}}
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        for name, count, length in (("songs", files, CLIP), ("one", 1, SHORT)):
            (folder / name).mkdir()
            content = recording("MP3", length, music).content
            for number in range(count):
                (folder / name / f"{number}.mp3").write_bytes(content)
        songs, one = folder / "songs", folder / "one"
        for count in sorted({1, len(cores)}):
            these = cores[:count]
            taken = compare(
                {
                    "batch": contender(lambda out: batch(songs, out, FEW), these, folder),
                    "batch, small parts": contender(lambda out: batch(songs, out, MANY), these, folder),
                    "batch, start": contender(lambda out: batch(one, out, FEW), these, folder),
                    "command line": contender(lambda out: command_line(songs, out), these, folder),
                    "command line, start": contender(lambda out: command_line(one, out), these, folder),
                },
                seconds=0,
            )
            row = figures(taken, files)
            result["by_cores"][str(count)] = row
            print(f"{count} cores:", *(f"{name} {value}" for name, value in row.items()), sep="\n  ", flush=True)
    result["timed"] = "each command in turn, medians of three rounds after one that does not count"
    result["machine"] = machine("onnxruntime-gpu", "onnxruntime", "pyarrow")
    write_result(output, result)
    return result


def figures(taken: dict[str, float], files: int) -> dict[str, float]:
    """Rates, and costs in seconds, of median seconds of each contender."""
    rates = {
        name: files / (taken[name] - taken[f"{name}, start"])  # a start includes a file of 3 seconds
        for name in ("batch", "command line")
    }
    more_parts = -(-files // MANY) - -(-files // FEW)
    return {
        "batch_files_a_second": round(rates["batch"], 2),
        "command_line_files_a_second": round(rates["command line"], 2),
        "ratio": round(rates["batch"] / rates["command line"], 3),
        "ratio_with_starts": round(taken["command line"] / taken["batch"], 3),
        "batch_start_s": round(taken["batch, start"], 2),
        "command_line_start_s": round(taken["command line, start"], 2),
        "part_s": round((taken["batch, small parts"] - taken["batch"]) / more_parts, 3),
        "chunks_a_second": round(rates["batch"] * CHUNKS, 1),
    }


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m benchmarks.batch`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--music", type=Path, help="a recording to cut the files from (default: synthesised music)")
    parser.add_argument("--files", type=int, default=100, help="number of 30-second MP3 files (default: 100)")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(**vars(parse_args()))
