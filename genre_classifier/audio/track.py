"""What both decoders hand on: one track of audio, mono and in blocks, at the rate of the file."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A header may be a little off (encoder padding, rounded durations): only this much less than it declares is a break.
BREAK_SECONDS = 0.5


class BreaksOffError(Exception):
    """Raised by `Track.blocks` after the last block of a file that breaks off or is damaged; caught in this package."""


@dataclass(frozen=True)
class Track:
    """One track of audio, not decoded yet."""

    rate: float
    """Samples a second, as the file says; not checked yet."""
    seconds: float | None
    """Duration by the header, None where it does not tell. A header may be wrong or lie."""
    blocks: Iterator[NDArray[np.float32]]
    """Mono blocks, float32 (frames,), one at a time. Raises BreaksOffError at the end of a damaged file."""


def mono(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over channels: frames, float32 (frames, channels) -> float32 (frames,), as librosa.to_mono to the bit."""
    channels = frames.shape[1]
    if channels == 1:
        return frames[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):  # NaN and Infinity are refused later, with a sentence
        if channels == 2:  # noqa: PLR2004  # the same bits as the mean, 1 ms instead of 20 for 30 seconds
            return (frames[:, 0] + frames[:, 1]) * np.float32(0.5)
        means: NDArray[np.float32] = frames.mean(axis=1)
    return means
