"""A file becomes a clip: decoded, cut into chunks as it goes, and each known to be audible or silent."""

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from audio import CHUNK_SAMPLES, MIN_TAIL_SAMPLES, SAMPLE_RATE, SILENT_BELOW, Stream, chunk_starts

FloatArray = npt.NDArray[np.float32]


class SilentClipError(Exception):
    """Every chunk of a clip is silent, so nothing can be said about it."""


@dataclass
class Clip:
    """What is known of a file; all of it once its chunks have been read."""

    samples: int = 0
    """Decoded so far, at 22 050 Hz."""
    starts: list[int] = field(default_factory=list)
    """First sample of each chunk, silent ones included."""
    audible: list[bool] = field(default_factory=list)
    """Which of the chunks are not silent; as long as starts."""
    warning: str | None = None
    """What was wrong with a file that decoded in part."""

    @property
    def duration(self) -> float:
        """Seconds that were decoded."""
        return self.samples / SAMPLE_RATE

    def read(self, source: Path | BinaryIO, *, max_seconds: float, size: int) -> Generator[FloatArray]:
        """Decode a file, and cut it as `audio.cut_chunks` does.

        Its chunks come as they are decoded: they can be judged meanwhile, and no more of it is held than a batch.

        Args:
            source: the file.
            max_seconds: the longest that will do.
            size: of a batch, the last of which may be smaller.

        Yields:
            float32 (chunks, 66150): the audible ones in order, `size` at a time.

        Raises:
            AudioError: not audio, too long, or shorter than one chunk.
            SilentClipError: no chunk's peak reaches -60 dBFS.
        """
        stream = Stream(source, max_seconds=max_seconds)
        batch: list[FloatArray] = []
        chunk = rest = np.zeros(0, np.float32)
        for block in stream:
            self.samples += len(block)
            rest = np.concatenate([rest, block])
            while len(rest) >= CHUNK_SAMPLES:
                chunk, rest = rest[:CHUNK_SAMPLES], rest[CHUNK_SAMPLES:]
                self._add(chunk, batch)
                if len(batch) == size:
                    yield np.stack(batch)
                    batch.clear()
        self.warning = stream.warning
        if len(chunk) and len(rest) >= MIN_TAIL_SAMPLES:
            self._add(np.concatenate([chunk, rest])[-CHUNK_SAMPLES:], batch)
        self.starts = chunk_starts(self.samples)
        if batch:
            yield np.stack(batch)
        if not any(self.audible):
            raise SilentClipError("The file is silent from beginning to end: send one with music in it.")

    def _add(self, chunk: FloatArray, batch: list[FloatArray]) -> None:
        self.audible.append(bool(max(chunk.max(), -chunk.min()) >= SILENT_BELOW))
        if self.audible[-1]:
            batch.append(chunk)
