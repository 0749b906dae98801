"""The check before anything is served: the model loads, and its outputs for a clip are probabilities."""

import numpy as np
from numpy.typing import NDArray

from genre_classifier.audio import CHUNK_SAMPLES, cut_chunks, decode
from genre_classifier.cores import limited_cores
from genre_classifier.cuda_graph import batch_sizes
from genre_classifier.models import SAMPLE_CLIP, find_model
from genre_classifier.session import CUDA, GenreSession, Provider
from serving.settings import ServiceSettings

DEFAULT_CHUNKS = 10  # of a clip of 30 seconds


def open_checked_session(settings: ServiceSettings, provider: Provider) -> GenreSession:
    """Open a session that has run the sample clip, and so is warm.

    Raises:
        ModelError: the model cannot be served; the message is one sentence.
    """
    session = GenreSession(
        find_model(settings.model),
        provider=provider,
        threads=settings.threads or limited_cores(),
        largest_batch=settings.max_batch_size,
        gpu_memory_mb=settings.gpu_memory_mb,
        cuda_graph=settings.cuda_graph,
    )
    chunks = _sample_chunks()
    session.check(chunks)
    # Memory is taken when a batch size first comes. On CUDA kernels are also chosen then, which is slow; on a CPU,
    # where memory is scarcest, the size of a common clip is enough.
    on_cuda = session.info.provider == CUDA
    sizes = batch_sizes(settings.max_batch_size) if on_cuda else [min(DEFAULT_CHUNKS, settings.max_batch_size)]
    for size in sizes:
        session.run(np.resize(chunks, (size, CHUNK_SAMPLES)))
    return session


def _sample_chunks() -> NDArray[np.float32]:
    """Chunks, float32 (batch, 66150), of the clip that ships or, where it was left out, of noise."""
    if SAMPLE_CLIP.is_file():
        return cut_chunks(decode(SAMPLE_CLIP).waveform)
    return np.random.default_rng(0).standard_normal((2, CHUNK_SAMPLES), dtype=np.float32) * np.float32(0.1)
