"""The results in one table: `python -m benchmarks.summary` prints what README.md and docs/benchmarks.md show."""

import json
from pathlib import Path
from typing import Any

from benchmarks.contenders import LIBROSA, ORT
from benchmarks.latency import LIBROSA as LIBROSA_SERVER
from benchmarks.latency import SERVICE, TYPICAL

RESULTS = Path(__file__).parent / "results"


def read(name: str) -> Any:
    """A result as it was written."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table() -> str:
    """Markdown: each figure of this project, that of librosa and PyTorch, and the ratio of both."""
    graph, latency, throughput = read("graph"), read("latency"), read("throughput")
    chunk = graph["ms_per_chunk"]["1 cores, batch 10"]
    one, eight = (latency["latency"][f"{TYPICAL}, {clients} clients"] for clients in (1, 8))
    cold, alone, ratios = latency["cold_start"], latency["alone_ms"], list(latency["ratios"].values())
    length = throughput["length"]
    longest = max(length, key=int)
    rows = [
        (
            "a chunk of 3 s, in a batch of ten on one core",
            f"{chunk[ORT]:.1f} ms",
            f"{chunk[LIBROSA]:.1f} ms",
            f"{graph['times_faster_than_librosa']:.1f} times as fast",
        ),
        (
            f"`/classify` of a {TYPICAL}, one client, p50",
            f"{one[SERVICE]['p50_ms']:.0f} ms",
            f"{one[LIBROSA_SERVER]['p50_ms']:.0f} ms",
            f"{ratios[0]:.1f} times as fast",
        ),
        (f"decoding that {TYPICAL} alone", f"{alone['decode']:.0f} ms", "", ""),
        ("the graph over its ten chunks alone", f"{alone['graph']:.0f} ms", "", ""),
        (
            f"requests a second, {TYPICAL}, 8 clients",
            f"{eight[SERVICE]['a_second']:.1f}",
            f"{eight[LIBROSA_SERVER]['a_second']:.1f}",
            f"{ratios[1]:.1f} times as many",
        ),
        ("start to ready", f"{cold['start_to_ready_s']:.1f} s", "", ""),
        (
            "first request after the start",
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
            "peak memory of the command line",
            f"{length['30']['memory_mib']} MiB for 30 s, {length[longest]['memory_mib']} MiB for an hour",
            "",
            "",
        ),
        (
            "peak memory of a front process of the service",
            f"{length['30']['front_mib']} MiB for 30 s, {length[longest]['front_mib']} MiB for an hour",
            "",
            "",
        ),
    ]
    lines = ["| | here | librosa and PyTorch | |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |".replace("1 cores", "1 core") for row in rows)])


if __name__ == "__main__":
    print(table())
