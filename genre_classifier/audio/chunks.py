"""A waveform -> the 3-second chunks that the model classifies."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from genre_classifier.audio.errors import AudioError

SAMPLE_RATE = 22_050  # Hz, mono
CHUNK_SECONDS = 3
CHUNK_SAMPLES = CHUNK_SECONDS * SAMPLE_RATE  # 66_150 samples in a chunk
MIN_TAIL_SAMPLES = CHUNK_SAMPLES // CHUNK_SECONDS  # 22_050 samples, one second: a shorter tail gets no chunk of its own

SILENT_BELOW = 10 ** (-60 / 20)  # 0.001, the peak amplitude of -60 dBFS: a quieter chunk is silent


def chunk_starts(samples: int) -> list[int]:
    """First sample of every chunk of a clip of `samples` samples, in order.

    A tail of a second or more adds one last chunk. It is aligned to the end of the clip, so it overlaps the chunk
    before it and is never padded.

    Raises AudioError (kind "too_short") for a clip shorter than one chunk.
    """
    if samples < CHUNK_SAMPLES:
        # Rounded down: 2.99 seconds must not read as "3 seconds long and must be at least 3".
        seconds = samples * 10 // SAMPLE_RATE / 10
        unit = "second" if seconds == 1 else "seconds"
        message = f"The audio is {seconds:g} {unit} long and must be at least {CHUNK_SECONDS}."
        raise AudioError(message, "too_short")
    whole, tail = divmod(samples, CHUNK_SAMPLES)
    starts = [CHUNK_SAMPLES * index for index in range(whole)]
    if tail >= MIN_TAIL_SAMPLES:
        starts.append(samples - CHUNK_SAMPLES)
    return starts


def iter_chunks(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Cut a waveform that arrives in blocks, float32 (samples,), into chunks, float32 (66150,), as `chunk_starts` says.

    Holds one chunk and one block. Raises AudioError (kind "too_short") after a waveform shorter than one chunk.
    """
    samples = count = 0
    chunk = rest = np.zeros(0, np.float32)
    for block in blocks:
        samples += len(block)
        rest = np.concatenate([rest, block])
        while len(rest) >= CHUNK_SAMPLES:
            chunk, rest = rest[:CHUNK_SAMPLES], rest[CHUNK_SAMPLES:]
            count += 1
            yield chunk
    if len(chunk_starts(samples)) > count:
        yield np.concatenate([chunk, rest])[-CHUNK_SAMPLES:]


def cut_chunks(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut a waveform, float32 (samples,) at 22 050 Hz, into chunks, float32 (chunks, 66150).

    Raises AudioError (kind "too_short") for a waveform shorter than one chunk.
    """
    return np.stack(list(iter_chunks([waveform])))


def is_audible(chunk: NDArray[np.float32]) -> bool:
    """Whether the peak of a chunk, float32 (samples,), reaches -60 dBFS."""
    return bool(max(chunk.max(), -chunk.min()) >= SILENT_BELOW)
