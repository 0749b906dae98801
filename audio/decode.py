"""A file, its bytes or a file object of any audio format -> a mono waveform at 22 050 Hz."""

import io
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr
from numpy.typing import NDArray

from audio import ffmpeg, sndfile
from audio.chunks import SAMPLE_RATE
from audio.errors import AudioError
from audio.track import BreaksOffError, Track

__all__ = ["Audio", "AudioError", "Stream", "declared_seconds", "decode"]

MIN_RATE, MAX_RATE = 4_000, 768_000  # Hz; music lies between, and a lower rate would grow too much when resampled
NOTHING = np.zeros(0, dtype=np.float32)


@dataclass(frozen=True)
class Audio:
    """What a file decodes to."""

    waveform: NDArray[np.float32]
    """float32 (samples,), mono, 22 050 Hz, as decoded: real music goes beyond 1.0, and nothing is clipped."""
    warning: str | None
    """One sentence if the file breaks off or is damaged; the waveform is then what could be read."""


class Stream:
    """A waveform in blocks, as they are decoded: what `decode` gives, in constant memory.

    Iterating, once, yields float32 (samples,) at 22 050 Hz, and raises AudioError as `decode` does.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes | BinaryIO, *, max_seconds: float | None = None) -> None:
        """Open nothing yet; the arguments are those of `decode`."""
        self.warning: str | None = None
        """After the last block: one sentence if the file breaks off or is damaged."""
        self._source = source
        self._max_seconds = math.inf if max_seconds is None else max_seconds

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        with ExitStack() as stack:
            file = _open(self._source, stack)
            if not file.read(1):
                raise AudioError("The file is empty.", "undecodable")
            try:
                file.seek(0)
                track = stack.enter_context(sndfile.open_track(file))
            except AudioError:
                file.seek(0)
                track = stack.enter_context(ffmpeg.open_track(file))
            yield from self._resampled(track)

    def _resampled(self, track: Track) -> Iterator[NDArray[np.float32]]:
        rate = track.rate
        if not MIN_RATE <= rate <= MAX_RATE:
            message = f"The sample rate of {rate} Hz is outside {MIN_RATE} to {MAX_RATE} Hz."
            raise AudioError(message, "undecodable")
        if track.seconds is not None:
            _check_length(track.seconds, self._max_seconds)
        resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="soxr_hq")
        frames = samples = 0
        breaks_off = False
        try:
            for block in track.blocks:
                frames += len(block)
                _check_length(frames / rate, self._max_seconds)
                resampled = _finite(block if rate == SAMPLE_RATE else resampler.resample_chunk(block))
                samples += len(resampled)
                # A copy where it is the decoder's own memory, which holds the next block soon.
                yield resampled.copy() if resampled.base is not None else resampled
        except BreaksOffError:
            breaks_off = True
        if breaks_off and not frames:
            raise AudioError("The file is damaged, and none of its audio can be read.", "undecodable")
        last = resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True) if rate != SAMPLE_RATE else NOTHING
        # soxr rounds the number of samples, librosa rounds it up and fills with zero: the rest is the same to the bit.
        missing = math.ceil(frames * (SAMPLE_RATE / rate)) - samples - len(last)
        yield np.concatenate([_finite(last), np.zeros(max(0, missing), np.float32)])
        if breaks_off:
            self.warning = f"The file breaks off or is damaged: only {frames / rate:.1f} seconds of it could be read."


def decode(source: str | os.PathLike[str] | bytes | BinaryIO, *, max_seconds: float | None = None) -> Audio:
    """Decode a local file, its bytes or an open file, whatever its name says, as librosa.load(sr=22050) does.

    Decodes and resamples block by block, so memory is bounded by the result and `max_seconds`, not by the file.
    Raises AudioError: kind "undecodable", or "too_long" as soon as header or audio exceed `max_seconds`.
    """
    stream = Stream(source, max_seconds=max_seconds)
    # A bytearray grows in place by an eighth; a list of arrays would need the memory twice to join them.
    collected = bytearray()
    for block in stream:
        collected += block.data.cast("B") if len(block) else b""
    return Audio(np.frombuffer(collected, dtype=np.float32), stream.warning)


def declared_seconds(file: BinaryIO) -> float | None:
    """How long a seekable file says it plays, within a millisecond or so; None where only decoding would tell."""
    file.seek(0)
    try:
        with sndfile.open_track(_Nameless(file)) as track:
            return track.seconds
    except AudioError:
        return None


class _Nameless:
    """A seekable file less its name, for both libraries judge by a name's extension if they can."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read = file.read
        self.tell = file.tell

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Seek, or return -1: a damaged file sends its reader before the start, and a callback cannot raise."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -1


def _open(source: str | os.PathLike[str] | bytes | BinaryIO, stack: ExitStack) -> _Nameless:
    """Open the source at its start."""
    if isinstance(source, bytes):
        return _Nameless(io.BytesIO(source))
    if isinstance(source, (str, os.PathLike)):
        return _Nameless(stack.enter_context(_open_path(Path(source))))
    if not source.seekable():
        return _Nameless(io.BytesIO(source.read()))
    source.seek(0)
    return _Nameless(source)


def _open_path(path: Path) -> BinaryIO:
    """Open a regular file; a pipe could block for ever, and a URL is no file."""
    try:
        if path.is_file():
            return path.open("rb")
    except (OSError, ValueError):  # no permission, or a name that no file can have
        pass
    raise AudioError(f"There is no readable file called {path.name}.", "undecodable")


def _check_length(seconds: float, max_seconds: float) -> None:
    if seconds > max_seconds:
        raise AudioError(f"The audio is longer than the limit of {max_seconds:g} seconds.", "too_long")


def _finite(block: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(block).all():
        raise AudioError("The file contains samples that are not numbers (NaN or Infinity).", "undecodable")
    return block
