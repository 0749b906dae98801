"""The check before anything is served: the model loads, and what it says of a clip are probabilities."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from audio import cut_chunks, decode
from serving.session import CUDA, GenreSession
from serving.settings import SAMPLE_CLIP, Settings

USUAL = 10  # chunks of a clip of 30 seconds


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
    # Memory is taken when a size first comes. On CUDA kernels are chosen as well, which is slow; on a CPU, where memory
    # is what there is least of, a usual clip's will do.
    sizes = (
        batch_sizes(settings.max_batch_size) if session.info.provider == CUDA else [min(10, settings.max_batch_size)]
    )
    for size in sizes:
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
        return cut_chunks(decode(SAMPLE_CLIP).waveform)
    return np.random.default_rng(0).standard_normal((2, samples), dtype=np.float32) * np.float32(0.1)
