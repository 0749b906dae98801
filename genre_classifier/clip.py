"""Audio as a clip: decoded, cut into chunks as it goes, and each chunk known to be audible or silent."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from genre_classifier.audio import SAMPLE_RATE, AudioError, Source, Stream, chunk_starts, is_audible, iter_chunks


@dataclass
class Clip:
    """What is known of a clip; all of it once its chunks have been read."""

    samples: int = 0
    """Decoded so far, at 22 050 Hz."""
    audible: list[bool] = field(default_factory=list)
    """Which of the chunks are not silent, in order."""
    warning: str | None = None
    """What was wrong with a file that decoded in part."""

    @property
    def duration(self) -> float:
        """Seconds that were decoded."""
        return self.samples / SAMPLE_RATE

    @property
    def starts(self) -> list[int]:
        """First sample of each chunk, silent ones included; as long as `audible`."""
        return chunk_starts(self.samples)

    def read(
        self,
        source: Source,
        *,
        sample_rate: float | None = None,
        max_seconds: float | None = None,
        opened: Callable[[float | None], object] | None = None,
    ) -> Generator[NDArray[np.float32]]:
        """Decode a clip and yield its audible chunks, float32 (66150,), in order and as they are decoded.

        Args:
            source: a path, a file's bytes, a file object, or a waveform.
            sample_rate: of a waveform, in Hz.
            max_seconds: the longest audio that is accepted; no limit if None.
            opened: told how many seconds the header declares, None where it does not.

        Raises:
            AudioError: not audio, too long, shorter than one chunk, or silent throughout.
        """
        stream = Stream(source, sample_rate=sample_rate, max_seconds=max_seconds, opened=opened)
        for chunk in iter_chunks(self._counted(stream)):
            self.audible.append(is_audible(chunk))
            if self.audible[-1]:
                yield chunk
        self.warning = stream.warning
        if not any(self.audible):
            raise AudioError("The audio is silent from beginning to end: there is nothing to classify.", "silent")

    def _counted(self, stream: Stream) -> Iterator[NDArray[np.float32]]:
        for block in stream:
            self.samples += len(block)
            yield block
