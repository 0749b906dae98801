"""Prometheus metrics of our own; BentoML collects those of all its processes and shows them at /metrics.

Made when first used: BentoML sets up its multi-process files after a service's module is imported.
"""

import os
import re
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil
from prometheus_client import Counter, Gauge, Histogram, values
from prometheus_client.multiprocess import mark_process_dead

from genre_classifier.session import ModelInfo

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the variable that names the folder of all processes' metrics
# A file of each process for each, in bytes; what needs more grows.
FILES = {"counter": 2**16, "gauge_all": 2**13, "gauge_livemax": 2**13, "gauge_livesum": 2**13, "histogram": 2**17}
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)


@cache
def http_requests() -> Counter:
    """Requests answered; unknown addresses share one path, so that the labels are bounded."""
    return Counter("genre_http_requests", "HTTP requests answered.", ["path", "method", "status"])


@cache
def http_request_seconds() -> Histogram:
    """Seconds from a request's first byte to its answer's last."""
    return Histogram("genre_http_request_seconds", "Seconds of one HTTP request.", ["path"], buckets=SECONDS)


@cache
def wait_seconds() -> Gauge:
    """Seconds that a request arriving now would wait, in the front process where it is longest."""
    return Gauge("genre_wait_seconds", "Seconds a request arriving now would wait.", multiprocess_mode="livemax")


@cache
def session_rows() -> Histogram:
    """Chunks per run of the ONNX Runtime session; its count is the number of runs."""
    return Histogram(
        "genre_session_rows",
        "Chunks in one run of the ONNX Runtime session.",
        buckets=(1, 2, 4, 8, 10, 16, 20, 32, 48, 64, 96, 128, 256, 512),
    )


@cache
def session_seconds() -> Histogram:
    """Seconds of each run of the session."""
    return Histogram("genre_session_seconds", "Seconds of one run of the ONNX Runtime session.", buckets=SECONDS)


@cache
def decode_seconds() -> Histogram:
    """Seconds to decode each file."""
    return Histogram("genre_decode_seconds", "Seconds to decode and cut one file.", buckets=SECONDS)


@cache
def queue_seconds() -> Histogram:
    """Seconds of each file from its arrival to its answer, without decoding and the session."""
    return Histogram("genre_queue_seconds", "Seconds one file waited, for its turn or the session.", buckets=SECONDS)


def make_files() -> None:
    """Make the files of this process's metrics with room for what they will hold, before the first of them is written.

    They are mapped into memory: on a full disk, or in a folder that somebody removed, a write would end the process or
    its answer. Where they cannot be made, this process keeps its metrics to itself.
    """
    folder = os.environ.get(FOLDER)
    if folder is None:
        return
    sizes = {Path(folder) / f"{kind}_{os.getpid()}.db": size for kind, size in FILES.items()}
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, size in sizes.items():
            with path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        for path in sizes:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        values.ValueClass = values.MutexValue
    # One metric of each kind opens its file, which then stays, even if the folder goes before the first request.
    http_requests().labels(path="/classify", method="POST", status="200")
    queue_seconds()
    wait_seconds()


def have_files() -> bool:
    """Whether the folder of all processes' metrics is there."""
    folder = os.environ.get(FOLDER)
    return folder is None or Path(folder).is_dir()


def forget_dead_processes() -> None:
    """Remove the gauges of processes that were killed, whose last values would otherwise stay for ever."""
    folder = os.environ.get(FOLDER)
    for path in Path(folder).glob("gauge_live*.db") if folder else ():
        if (pid := re.search(r"_(\d+)\.db$", path.name)) and not psutil.pid_exists(int(pid[1])):
            mark_process_dead(int(pid[1]))


def report_model(info: ModelInfo) -> None:
    """Show the model and its provider as the labels of a gauge that is 1 (Info does not work across processes)."""
    Gauge(
        "genre_model_info",
        "The model in use.",
        ["version", "provider", "labels"],
        multiprocess_mode="livemax",
    ).labels(version=info.version, provider=info.provider, labels=",".join(info.labels)).set(1)
