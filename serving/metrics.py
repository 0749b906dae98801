"""Prometheus metrics of our own; BentoML collects those of all its processes and shows them at /metrics.

Made when first used: BentoML's multi-process files are set up after a service's module is imported.
"""

from functools import cache

from prometheus_client import Gauge, Histogram

from serving.session import ModelInfo

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)


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
    """Of each run of the session."""
    return Histogram("genre_session_seconds", "Seconds of one run of the ONNX Runtime session.", buckets=SECONDS)


@cache
def decode_seconds() -> Histogram:
    """Of each file."""
    return Histogram("genre_decode_seconds", "Seconds to decode and cut one file.", buckets=SECONDS)


@cache
def queue_seconds() -> Histogram:
    """Of each file: from its arrival to its answer, less decoding and the session."""
    return Histogram("genre_queue_seconds", "Seconds one file waited, for its turn or the session.", buckets=SECONDS)


def tell_model(info: ModelInfo) -> None:
    """Show the model and its provider as the labels of a gauge that is 1 (Info does not work across processes)."""
    Gauge(
        "genre_model_info",
        "The model in use.",
        ["version", "provider", "labels"],
        multiprocess_mode="livemax",
    ).labels(version=info.version, provider=info.provider, labels=",".join(info.labels)).set(1)
