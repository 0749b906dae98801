"""A waveform -> the 3-second chunks that the model judges."""

import numpy as np
from numpy.typing import NDArray

from audio.errors import AudioError

SAMPLE_RATE = 22_050  # Hz, mono
CHUNK_SECONDS = 3
CHUNK_SAMPLES = CHUNK_SECONDS * SAMPLE_RATE  # 66_150 samples in a chunk
MIN_TAIL_SAMPLES = CHUNK_SAMPLES // CHUNK_SECONDS  # 22_050 samples, one second: a shorter tail gets no chunk of its own

SILENT_BELOW = 10 ** (-60 / 20)  # 0.001, the peak amplitude of -60 dBFS: a quieter chunk is silent, and never judged


def chunk_starts(samples: int) -> list[int]:
    """First sample of every chunk of a clip of `samples` samples, in order; a tail of a second or more adds a last one.

    The tail's chunk is aligned to the end of the clip, so it overlaps the one before and is never padded.
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


def cut_chunks(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut a waveform, float32 (samples,) at 22 050 Hz, into chunks, float32 (chunks, 66150), as `chunk_starts` says.

    Raises AudioError (kind "too_short") for a waveform shorter than one chunk.
    """
    return np.stack([waveform[start : start + CHUNK_SAMPLES] for start in chunk_starts(len(waveform))])
