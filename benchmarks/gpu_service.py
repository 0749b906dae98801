"""The check of the service on a GPU: `/classify` with it, with recorded runs, and on the CPU of the same machine."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.batching import provider
from benchmarks.gpu_report import Findings, why_no_cuda
from benchmarks.traffic import measure
from genre_classifier.session import CPU, CUDA
from tests.support.server import Server
from tests.support.songs import recording

CLIP_SECONDS, CLIENTS = 30, (1, 16)


def check_service(findings: Findings) -> None:
    """Median latency and requests a second: servers take turns, and every answer is 200."""
    settings: dict[str, dict[str, Any]] = {"CPU": {"GENRE_PROVIDER": "cpu"}}
    if why := why_no_cuda():
        findings.skip("the service on CUDA", why)
    else:
        settings["CUDA"] = {"GENRE_PROVIDER": "cuda"}
        settings["CUDA graph"] = {"GENRE_PROVIDER": "cuda", "GENRE_CUDA_GRAPH": "true"}
    song = recording("MP3", CLIP_SECONDS)
    seconds = 1.0 if findings.quick else 5.0
    with ExitStack() as stack:
        servers = {}
        for name, variables in settings.items():
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            servers[name] = Server(home, **variables)
            stack.callback(servers[name].stop)
            servers[name].wait()
            used = provider(servers[name])
            findings.require(used == (CPU if name == "CPU" else CUDA), f"the service for {name} runs on {used}")
        for clients in CLIENTS[: 1 if findings.quick else None]:
            for name, server in servers.items():
                measured = measure(server.url, song, clients=clients, seconds=seconds)
                figures = {key: measured[key] for key in ("p50_ms", "p99_ms", "a_second", "statuses")}
                findings.figures[f"{name}, {clients} clients"] = figures
                findings.require(set(measured["statuses"]) == {"200"}, f"{name}: {measured['statuses']}")
