"""The contenders of `benchmarks.graph`, from chunks to log-probabilities, timed in processes of their own."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.baseline import librosa_features
from genre_classifier.audio import CHUNK_SAMPLES
from genre_classifier.audio.sample import synthesise
from genre_classifier.session import GenreSession, ModelError
from train.features import Features
from train.network.base import GenreNet
from train.network.checkpoint import GTZAN_LABELS
from train.network.table import build_network

DEFAULT_NETWORK = "transfer"
LIBROSA, TORCH, ORT, ORT_CUDA = (
    "librosa + torch CNN",
    "torch features + network",
    "ONNX Runtime CPU",
    "ONNX Runtime CUDA",
)
STAGES = (
    "features, librosa",
    "features, torch",
    "front end, torch",
    "original CNN, torch",
    "network, torch",
)
TURN_SECONDS = 0.3  # long enough that the caches hold nothing of the contender before


def chunks(count: int) -> NDArray[np.float32]:
    """Stretches of the sample's music at different speeds, float32 (count, 66150)."""
    music = synthesise()
    rng = np.random.default_rng(0)
    batch = np.empty((count, CHUNK_SAMPLES), dtype=np.float32)
    for chunk in batch:
        indices = rng.uniform(0, len(music)) + rng.uniform(0.8, 1.25) * np.arange(CHUNK_SAMPLES)
        chunk[:] = music[indices.astype(np.int64) % len(music)]
    return batch


class Process:
    """A process with a number of cores that times contenders by name.

    PyTorch's threads spin for a while after their work, and would slow other contenders in the same process.
    """

    def __init__(self, cores: Sequence[int], turn_seconds: float = TURN_SECONDS) -> None:
        """Start it; in a turn, a contender works for so many seconds, and at least once."""
        self._turn_seconds = turn_seconds
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _prepare, (cores,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def has_cuda(self, model: Path) -> bool:
        """Whether a model runs on CUDA here."""
        return self._pool.submit(_has_cuda, model).result()

    def time(self, name: str, batch: int, model: Path | None = None) -> float:
        """Median seconds of a contender for a batch of chunks, over one turn; ORT and ORT_CUDA need a model file."""
        return self._pool.submit(_time, name, batch, model, self._turn_seconds).result()


def _prepare(cores: Sequence[int]) -> None:
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(len(cores))


@cache
def _network(name: str) -> GenreNet:
    return build_network(name, len(GTZAN_LABELS)).eval()


@cache
def _features() -> Features:
    return Features().eval()


@cache
def _session(model: Path, provider: Literal["cpu", "cuda"]) -> GenreSession:
    return GenreSession(model, provider=provider, threads=torch.get_num_threads())


@lru_cache(maxsize=1)
def _batch(count: int) -> NDArray[np.float32]:
    return chunks(count)


@lru_cache(maxsize=2)
def _prepared(name: str, count: int) -> torch.Tensor:
    """The inputs of a network after its front end."""
    return _network(name).prepare(torch.from_numpy(_batch(count)))


def _has_cuda(model: Path) -> bool:
    with contextlib.suppress(ModelError):
        return _session(model, "cuda") is not None
    return False


def _librosa(waveforms: NDArray[np.float32]) -> torch.Tensor:
    """Images (batch, 5, 40, 130), chunk by chunk."""
    return torch.from_numpy(np.stack([librosa_features(waveform) for waveform in waveforms]))


def _contender(name: str, batch: int, model: Path | None) -> Callable[[], object]:
    """What is timed; everything else is prepared here."""
    waveforms = _batch(batch)
    if name in {ORT, ORT_CUDA}:
        assert model
        session = _session(model, "cpu" if name == ORT else "cuda")
        return lambda: session.run(waveforms)
    tensor = torch.from_numpy(waveforms)
    original, network = _network("cnn"), _network(DEFAULT_NETWORK)
    if name == "original CNN, torch":
        return partial(original.classify, _prepared("cnn", batch))
    if name == "network, torch":
        return partial(network.classify, _prepared(DEFAULT_NETWORK, batch))
    contenders: dict[str, Callable[[], object]] = {
        LIBROSA: lambda: original.classify(_librosa(waveforms)),
        TORCH: partial(network, tensor),
        "features, librosa": partial(_librosa, waveforms),
        "features, torch": partial(_features(), tensor),
        "front end, torch": partial(network.prepare, tensor),
    }
    return contenders[name]


def _time(name: str, batch: int, model: Path | None, turn_seconds: float) -> float:
    taken: list[float] = []
    with torch.inference_mode():
        contender = _contender(name, batch, model)
        end = time.perf_counter() + turn_seconds
        while not taken or time.perf_counter() < end:
            begin = time.perf_counter()
            contender()
            taken.append(time.perf_counter() - begin)
    return float(np.median(taken))
