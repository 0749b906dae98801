"""M4A, WMA, WebM, video containers and whatever else libsndfile does not read, through PyAV (FFmpeg)."""

from __future__ import annotations

import math
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from genre_classifier.audio.errors import AudioError
from genre_classifier.audio.track import BREAK_SECONDS, BreaksOffError, Track, mono

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av
    from numpy.typing import NDArray

# Containers only: no playlists (HLS, concat), devices, network sessions or pictures. None of these may open a second
# file or a URL either, for no protocol is allowed; the file itself needs none, as it is handed over open. No
# decoder runs while a file is probed, or a little of every picture and video in it would be decoded.
OPTIONS = {
    "format_whitelist": "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,matroska,mov,mp3,mpc,mpc8,mpeg,"
    "mpegts,ogg,tak,tta,w64,wav,wv",
    "protocol_whitelist": "",
    "codec_whitelist": "none",
}
# These declare no duration: FFmpeg guesses one from the bit rate or the last timestamp.
WITHOUT_DURATION = {"aac", "ac3", "amr", "dts", "eac3", "mp3", "mpeg", "mpegts", "ogg"}
# FFmpeg's sample formats, less the "p" of planar: numpy's type and what full scale is.
SAMPLE_FORMATS = {
    "u8": (np.uint8, 2.0**7),
    "s16": (np.int16, 2.0**15),
    "s32": (np.int32, 2.0**31),
    "s64": (np.int64, 2.0**63),
    "flt": (np.float32, 1.0),
    "dbl": (np.float64, 1.0),
}


@contextmanager
def open_track(file: Any) -> Iterator[Track]:
    """Open the first audio track of a file (a binary file object). Raises AudioError where FFmpeg does not read it."""
    import av  # noqa: PLC0415  # 90 ms that most files never need

    try:
        container = av.open(file, "r", container_options=OPTIONS, metadata_errors="replace")
    except av.FFmpegError:
        raise AudioError("This is not an audio file that can be read.", "undecodable") from None
    with container:
        if not container.streams.audio:
            raise AudioError("The file has no audio track.", "undecodable")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise AudioError("The file's audio is in a format that cannot be read.", "undecodable")
        seconds = None
        if container.duration is not None and container.format.name not in WITHOUT_DURATION:
            seconds = container.duration / av.time_base
        frames = _frames(container, stream, seconds)
        try:
            first = next(frames, None)
        except BreaksOffError:
            first = None
        if first is None:
            raise AudioError("The file is damaged, and none of its audio can be read.", "undecodable")
        # The rate is a frame's, for a container need not tell (MPEG-TS) or may tell another (AAC with SBR).
        yield Track(first.sample_rate, seconds, _blocks(first, frames))


def has_overlapping_packets(file: Any) -> bool:
    """Whether a packet of the first audio track begins before the one before it ends; False where there is none."""
    import av  # noqa: PLC0415

    file.seek(0)
    end = -math.inf
    try:
        with av.open(file, "r", container_options=OPTIONS, metadata_errors="replace") as container:
            for packet in container.demux(audio=0):
                if packet.pts is not None:
                    if packet.pts < end:
                        return True
                    end = packet.pts + (packet.duration or 0)
    except (av.FFmpegError, IndexError):
        pass
    return False


def _frames(
    container: av.container.InputContainer, stream: av.AudioStream, seconds: float | None
) -> Iterator[av.AudioFrame]:
    """Decode packet by packet. All tracks are walked, for a declared duration is that of the longest."""
    import av  # noqa: PLC0415

    start = (container.start_time or 0) / av.time_base
    reached = 0.0
    decoded = False
    try:
        for packet in container.demux():
            if packet.pts is not None and packet.time_base:
                reached = max(reached, float((packet.pts + (packet.duration or 0)) * packet.time_base) - start)
            if packet.stream.index != stream.index:
                continue
            try:
                frames = stream.decode(packet)
            except av.FFmpegError:
                if decoded:
                    raise
                continue  # a recording may begin in the middle of a packet
            decoded = decoded or bool(frames)
            yield from frames
    except (av.FFmpegError, IndexError):  # the latter where a stream appears in the middle of a file
        raise BreaksOffError from None
    if seconds is not None and seconds - reached > BREAK_SECONDS:
        raise BreaksOffError


def _blocks(first: av.AudioFrame, others: Iterator[av.AudioFrame]) -> Iterator[NDArray[np.float32]]:
    """Mono samples of every frame."""
    for frame in chain([first], others):
        if frame.sample_rate != first.sample_rate:
            raise BreaksOffError
        yield _mono(frame)


def _mono(frame: av.AudioFrame) -> NDArray[np.float32]:
    """Mean over the channels of a frame, float32 (frames,), never clipped."""
    # Not frame.to_ndarray(): with 8 planar channels it counts a ninth plane (PyAV 18.1) and fails.
    channels = frame.layout.nb_channels
    dtype, full_scale = SAMPLE_FORMATS[frame.format.name.removesuffix("p")]
    if frame.format.is_planar:
        planes = [np.frombuffer(memoryview(plane), dtype, frame.samples) for plane in frame.planes[:channels]]
        packed = np.stack(planes, axis=1)
    else:
        packed = np.frombuffer(memoryview(frame.planes[0]), dtype, frame.samples * channels).reshape(-1, channels)
    with np.errstate(over="ignore", invalid="ignore"):  # NaN and Infinity are refused later, with a sentence
        samples: NDArray[np.float32] = packed.astype(np.float32) / np.float32(full_scale)
    return mono(samples - np.float32(1) if dtype is np.uint8 else samples)
