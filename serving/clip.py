"""A file becomes a clip: decoded, cut into chunks, each known to be audible or silent."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from audio import SAMPLE_RATE, SILENT_BELOW, chunk_starts, cut_chunks, decode


class SilentClipError(Exception):
    """Every chunk of a clip is silent, so nothing can be said about it."""


@dataclass(frozen=True)
class Clip:
    """A decoded file, ready for the graph."""

    chunks: npt.NDArray[np.float32]
    """float32 (audible chunks, 66150): the silent ones are left out."""
    starts: list[int]
    """First sample of each chunk, silent ones included."""
    audible: list[bool]
    """Which of the chunks are not silent; as long as starts."""
    duration: float
    """Seconds that were decoded."""
    warning: str | None
    """What was wrong with a file that decoded in part."""


def read_clip(source: Path | BinaryIO, *, max_seconds: float) -> Clip:
    """Decode a file and cut it.

    Raises:
        AudioError: not audio, too long, or shorter than one chunk.
        SilentClipError: no chunk's peak reaches -60 dBFS.
    """
    audio = decode(source, max_seconds=max_seconds)
    chunks = cut_chunks(audio.waveform)
    audible = np.abs(chunks).max(axis=1) >= SILENT_BELOW
    if not audible.any():
        raise SilentClipError("The file is silent from beginning to end: send one with music in it.")
    return Clip(
        chunks=chunks if audible.all() else chunks[audible],
        starts=chunk_starts(len(audio.waveform)),
        audible=audible.tolist(),
        duration=len(audio.waveform) / SAMPLE_RATE,
        warning=audio.warning,
    )
