"""The ways from chunks to log-probabilities that `benchmarks.graph` times, each in a process of its own."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from audio import CHUNK_SAMPLES
from audio.sample import synthesise
from benchmarks.baseline import librosa_features
from serving.session import GenreSession, ModelError
from train.features import CHANNELS
from train.model import GenreNet
from train.spectrum import FRAMES, N_MFCC
from train.statistics import STATISTICS

LIBROSA, TORCH, ORT, ORT_CUDA = (
    "librosa + torch CNN",
    "torch features + network",
    "ONNX Runtime CPU",
    "ONNX Runtime CUDA",
)
TURN = 0.3  # seconds; what ran before has left the caches by then
APART = (
    "features, librosa",
    "features, torch",
    "features and statistics, torch",
    "original CNN, torch",
    "network, torch",
)


def chunks(count: int) -> NDArray[np.float32]:
    """Stretches of the sample's music at different speeds, float32 (count, 66150)."""
    music = synthesise()
    chance = np.random.default_rng(0)
    made = np.empty((count, CHUNK_SAMPLES), dtype=np.float32)
    for chunk in made:
        places = chance.uniform(0, len(music)) + chance.uniform(0.8, 1.25) * np.arange(CHUNK_SAMPLES)
        chunk[:] = music[places.astype(np.int64) % len(music)]
    return made


class Process:
    """Another process, with so many cores, that times ways by name.

    PyTorch's threads spin for a while after their work: in one process with others, they would slow those down.
    """

    def __init__(self, model: Path, cores: Sequence[int]) -> None:
        """Start it."""
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _prepare, (model, cores))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def has(self, name: str) -> bool:
        """Whether it can go this way: CUDA needs a GPU."""
        return self._pool.submit(_has, name).result()

    def time(self, name: str, batch: int) -> float:
        """Seconds that a way takes for so many chunks: the median of a turn."""
        return self._pool.submit(_time, name, batch).result()


class _Ways:
    """What the process holds."""

    def __init__(self, model: Path, cores: int) -> None:
        self._model = model
        self._cores = cores
        self._batch = np.empty((0, CHUNK_SAMPLES), dtype=np.float32)

    @cached_property
    def original(self) -> GenreNet:
        return GenreNet(10, "original").eval()

    @cached_property
    def statistics(self) -> GenreNet:
        return GenreNet(10, "statistics").eval()

    @cached_property
    def session(self) -> GenreSession:
        return GenreSession(self._model, provider="cpu", threads=self._cores)

    @cached_property
    def cuda(self) -> GenreSession | None:
        with contextlib.suppress(ModelError):
            return GenreSession(self._model, provider="cuda")
        return None

    def chunks(self, count: int) -> NDArray[np.float32]:
        if len(self._batch) != count:
            self._batch = chunks(count)
        return self._batch

    def way(self, name: str, batch: int) -> Callable[[], object]:
        """A way, prepared but for what is to be timed."""
        waveforms = self.chunks(batch)
        tensor = torch.from_numpy(waveforms)
        # Of any values: to the networks alone they make no difference.
        images, statistics = torch.ones(batch, CHANNELS, N_MFCC, FRAMES), torch.ones(batch, STATISTICS)
        ways = {
            LIBROSA: lambda: self.original.classify(_librosa(waveforms)),
            TORCH: lambda: self.statistics(tensor),
            ORT: lambda: self.session.run(waveforms),
            ORT_CUDA: lambda: self.cuda and self.cuda.run(waveforms),
            "features, librosa": lambda: _librosa(waveforms),
            "features, torch": lambda: self.statistics.features(tensor),
            "features and statistics, torch": lambda: self.statistics.prepare(tensor),
            "original CNN, torch": lambda: self.original.classify(images),
            "network, torch": lambda: self.statistics.classify(statistics),
        }
        return ways[name]


def _librosa(waveforms: NDArray[np.float32]) -> torch.Tensor:
    """Images (batch, 5, 40, 130), chunk by chunk."""
    return torch.from_numpy(np.stack([librosa_features(waveform) for waveform in waveforms]))


_ways: _Ways


def _prepare(model: Path, cores: Sequence[int]) -> None:
    global _ways  # noqa: PLW0603 (of a process that does nothing else)
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(len(cores))
    _ways = _Ways(model, len(cores))


def _has(name: str) -> bool:
    return name != ORT_CUDA or _ways.cuda is not None


def _time(name: str, batch: int) -> float:
    way = _ways.way(name, batch)
    taken: list[float] = []
    with torch.inference_mode():
        end = time.perf_counter() + TURN
        while not taken or time.perf_counter() < end:
            begin = time.perf_counter()
            way()
            taken.append(time.perf_counter() - begin)
    return float(np.median(taken))
