"""The check before anything is served: the model loads, and what it says of a clip are probabilities."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from serving.clip import read_clip
from serving.session import CUDA, GenreSession
from serving.settings import SAMPLE_CLIP, Settings


def checked_session(settings: Settings, provider: Literal["auto", "cuda", "cpu"]) -> GenreSession:
    """A session that has judged the sample clip, and so is warm.

    Raises:
        ModelError: the model cannot be served; the message is one sentence.
    """
    session = GenreSession(
        settings.model, provider=provider, threads=settings.threads, gpu_memory_mb=settings.gpu_memory_mb
    )
    chunks = _sample_chunks(session.info.chunk_samples)
    session.check(chunks)
    if session.info.provider == CUDA:
        # Kernels are chosen and memory is taken when a size first comes, which is slow there, and on a CPU is not.
        for size in batch_sizes(settings.max_batch_size):
            session.run(np.resize(chunks, (size, chunks.shape[1])))
    return session


def batch_sizes(largest: int) -> list[int]:
    """Powers of two up to the largest batch, and that."""
    return [2**power for power in range(largest.bit_length()) if 2**power < largest] + [largest]


def check_session(settings: Settings) -> None:
    """The same for another process, to which a session cannot be handed."""
    checked_session(settings, settings.provider)


def _sample_chunks(samples: int) -> npt.NDArray[np.float32]:
    """float32 (batch, samples): the clip that ships or, where it was left out, noise."""
    if SAMPLE_CLIP.is_file():
        return read_clip(SAMPLE_CLIP, max_seconds=60).chunks
    return np.random.default_rng(0).standard_normal((2, samples), dtype=np.float32) * np.float32(0.1)
