"""A file, its bytes, a file object or a waveform at any rate -> a mono waveform at 22 050 Hz."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from genre_classifier.audio import ffmpeg, sndfile
from genre_classifier.audio.chunks import SAMPLE_RATE
from genre_classifier.audio.errors import AudioError
from genre_classifier.audio.source import NamelessFile, Source, open_source
from genre_classifier.audio.track import BreaksOffError, Track, mono

MIN_RATE, MAX_RATE = 4_000, 768_000  # Hz; music lies between, and a lower rate would grow too much when resampled
MAX_CHANNELS = 8  # 7.1; a waveform with more has its axes exchanged
BLOCK_SAMPLES = 2**19  # samples of a given waveform that are resampled at a time: 2 MB of float32
EMPTY = np.zeros(0, dtype=np.float32)


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

    def __init__(
        self,
        source: Source,
        *,
        sample_rate: float | None = None,
        max_seconds: float | None = None,
        opened: Callable[[float | None], object] | None = None,
    ) -> None:
        """Open nothing yet; the arguments are those of `decode`, and `opened` is told how long the header says."""
        self.warning: str | None = None
        """After the last block: one sentence if the file breaks off or is damaged."""
        self._source = source
        self._sample_rate = sample_rate
        self._max_seconds = math.inf if max_seconds is None else max_seconds
        self._opened = opened

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        if isinstance(self._source, np.ndarray):
            yield from self._resampled(_waveform_track(self._source, self._sample_rate))
            return
        with ExitStack() as stack:
            file = NamelessFile(open_source(self._source, stack))
            try:
                yield from self._resampled(_open_track(file, stack))
            finally:
                file.check()

    def _resampled(self, track: Track) -> Iterator[NDArray[np.float32]]:
        rate = track.rate
        if not MIN_RATE <= rate <= MAX_RATE:
            message = f"The sample rate of {rate:g} Hz is outside {MIN_RATE} to {MAX_RATE} Hz."
            raise AudioError(message, "undecodable")
        if track.seconds is not None:
            _check_length(track.seconds, self._max_seconds)
        if self._opened:
            self._opened(track.seconds)
        resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="soxr_hq")
        frames = samples = 0
        breaks_off = False
        try:
            for block in track.blocks:
                frames += len(block)
                _check_length(frames / rate, self._max_seconds)
                resampled = _finite(block if rate == SAMPLE_RATE else resampler.resample_chunk(block))
                samples += len(resampled)
                # A copy where the memory is the decoder's own, which soon holds the next block.
                yield resampled.copy() if resampled.base is not None else resampled
        except BreaksOffError:
            breaks_off = True
        if breaks_off and not frames:
            raise AudioError("The file is damaged, and none of its audio can be read.", "undecodable")
        last = resampler.resample_chunk(EMPTY, last=True) if rate != SAMPLE_RATE else EMPTY
        # soxr rounds the number of samples, librosa rounds it up and fills with zero: the rest is the same to the bit.
        missing = math.ceil(frames * (SAMPLE_RATE / rate)) - samples - len(last)
        yield np.concatenate([_finite(last), np.zeros(max(0, missing), np.float32)])
        if breaks_off:
            self.warning = f"The file breaks off or is damaged: only {frames / rate:.1f} seconds of it could be read."


def decode(source: Source, *, sample_rate: float | None = None, max_seconds: float | None = None) -> Audio:
    """Decode audio whatever its name says, as librosa.load(sr=22050) does; or resample a waveform likewise.

    Decodes and resamples block by block, so memory is bounded by the result and `max_seconds`, not by the file.

    Args:
        source: a local file, its bytes, an open file, or a waveform: floats (samples,) or (channels, samples).
        sample_rate: of a waveform, in Hz; a file tells its own.
        max_seconds: the longest audio that is accepted; no limit if None.

    Raises:
        AudioError: kind "missing", "undecodable", or "too_long" as soon as header or audio exceed `max_seconds`.
    """
    stream = Stream(source, sample_rate=sample_rate, max_seconds=max_seconds)
    # A bytearray grows in place by an eighth; a list of arrays would need the memory twice to join them.
    collected = bytearray()
    for block in stream:
        collected += block.data.cast("B") if len(block) else b""
    return Audio(np.frombuffer(collected, dtype=np.float32), stream.warning)


def _open_track(file: NamelessFile, stack: ExitStack) -> Track:
    """The file's audio by libsndfile or, where that does not read its format, by FFmpeg."""
    if not file.read(1):
        file.check()
        raise AudioError("The file is empty.", "undecodable")
    try:
        file.seek(0)
        return stack.enter_context(sndfile.open_track(file))
    except AudioError:
        file.seek(0)
        return stack.enter_context(ffmpeg.open_track(file))


def _waveform_track(waveform: NDArray[np.floating[Any]], sample_rate: float | None) -> Track:
    """A given waveform as if it were a file's."""
    if sample_rate is None:
        raise AudioError("A waveform needs its sample_rate in Hz.", "undecodable")
    if waveform.dtype.kind != "f" or waveform.ndim not in {1, 2}:
        message = f"A waveform is floats (samples,) or (channels, samples), not {waveform.dtype} {waveform.shape}."
        raise AudioError(message, "undecodable")
    if waveform.ndim == 2 and not 1 <= len(waveform) <= MAX_CHANNELS:  # noqa: PLR2004
        message = f"A waveform of {len(waveform)} channels is not music: it is (channels, samples), so transpose it."
        raise AudioError(message, "undecodable")
    channels = np.atleast_2d(waveform)
    samples = channels.shape[1]
    return Track(sample_rate, samples / sample_rate if sample_rate > 0 else None, _waveform_blocks(channels))


def _waveform_blocks(channels: NDArray[np.floating[Any]]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, channels.shape[1], BLOCK_SAMPLES):
        with np.errstate(over="ignore"):  # Infinity is refused later, with a sentence
            # Interleaved as a decoder gives it, so that the mean over channels has the same bits.
            frames = np.ascontiguousarray(channels[:, start : start + BLOCK_SAMPLES].T, dtype=np.float32)
        yield mono(frames)


def _check_length(seconds: float, max_seconds: float) -> None:
    if seconds > max_seconds:
        raise AudioError(f"The audio is longer than the limit of {max_seconds:g} seconds.", "too_long")


def _finite(block: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(block).all():
        raise AudioError("The audio contains samples that are not numbers (NaN or Infinity).", "undecodable")
    return block
