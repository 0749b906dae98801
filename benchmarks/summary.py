"""What the results come to: `python -m benchmarks.summary` prints the table of README.md and docs/benchmarks.md."""

import json
from pathlib import Path
from typing import Any

from benchmarks.latency import LIBROSA, SERVICE, USUAL
from benchmarks.ways import LIBROSA as LIBROSA_WAY
from benchmarks.ways import ORT

RESULTS = Path(__file__).parent / "results"


def read(name: str) -> Any:
    """A result as it was written."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table() -> str:
    """Markdown: what was measured, here, the librosa way, and what the one is to the other."""
    graph, latency, throughput = read("graph"), read("latency"), read("throughput")
    chunk = graph["ms_per_chunk"]["1 cores, batch 10"]
    one, eight = (latency["latency"][f"{USUAL}, {clients} clients"] for clients in (1, 8))
    cold, alone, ratios = latency["cold_start"], latency["alone_ms"], list(latency["ratios"].values())
    length = throughput["length"]
    longest = max(length, key=int)
    rows = [
        (
            "a chunk of 3 s, one core, ten at a time",
            f"{chunk[ORT]:.1f} ms",
            f"{chunk[LIBROSA_WAY]:.1f} ms",
            f"{graph['times_faster_than_librosa']:.1f} times as fast",
        ),
        (
            f"`/classify` of a {USUAL}, one client, p50",
            f"{one[SERVICE]['p50_ms']:.0f} ms",
            f"{one[LIBROSA]['p50_ms']:.0f} ms",
            f"{ratios[0]:.1f} times as fast",
        ),
        (
            f"of that p50, decoding {alone['decode']:.0f} ms and graph {alone['graph']:.0f} ms alone; the rest",
            f"{ratios[2]:.0f} ms",
            "",
            "",
        ),
        (
            f"requests a second, {USUAL}, 8 clients",
            f"{eight[SERVICE]['a_second']:.1f}",
            f"{eight[LIBROSA]['a_second']:.1f}",
            f"{ratios[1]:.1f} times as many",
        ),
        ("start to ready", f"{cold['start_to_ready_s']:.1f} s", "", ""),
        (
            "first request",
            f"{cold['first_request_ms']:.0f} ms",
            "",
            f"{cold['first_against_steady']:.2f} times the steady p50",
        ),
        *(
            (f"command line, files a second: {name}", f"{rate:.1f}", "", "")
            for name, rate in throughput["files_a_second"].items()
            if name.startswith("MP3")
        ),
        *(
            (f"an hour in one file, {cores}", "", "", f"{ratio:.2f} times 120 files of 30 s")
            for cores, ratio in throughput["hour"].items()
        ),
        (
            "memory of the command line, a file of 30 s and of an hour",
            f"{length['30']['memory_mib']} and {length[longest]['memory_mib']} MiB",
            "",
            "",
        ),
        (
            "memory of the service's front process, likewise",
            f"{length['30']['front_mib']} and {length[longest]['front_mib']} MiB",
            "",
            "",
        ),
    ]
    lines = ["| | here | librosa and PyTorch | |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |".replace("1 cores", "1 core") for row in rows)])


if __name__ == "__main__":
    print(table())
