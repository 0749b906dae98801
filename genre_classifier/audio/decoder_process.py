"""A decoder process: a file in as a descriptor, chunks out through shared memory, under the system's own limits.

decoder_pool.py starts `python -m genre_classifier.audio.decoder_process SOCKET MEMORY` and talks to it by lines of JSON
over the socket. The process opens nothing but the descriptors that it is handed.
"""

import ctypes
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from genre_classifier.audio.channel import Channel
from genre_classifier.audio.chunk_memory import map_chunks
from genre_classifier.audio.errors import AudioError
from genre_classifier.clip import Clip

MIB = 2**20
MEMORY_MB = 512  # of address space; MP3, M4A, WMA and FLAC of 8 channels take up to 252
FFMPEG_ALLOCATION_MB = 32  # of one allocation within FFmpeg, which ends most tables that a header only claims
OPEN_FILES = 64
# Seconds of the processor that a file may take: to be looked at, which is to walk through it once, and then for each
# second of music that it declares. An M4A of 74 MB takes 0.1 seconds to look at, Opus of 35 MB half a second; FLAC of
# 8 channels at 192 kHz takes 0.02 seconds for each of music.
LOOK_SECONDS, LOOK_BYTES_PER_SECOND = 0.5, 20_000_000
SECONDS_PER_SECOND = 0.03
MIN_BYTES_PER_SECOND = 4_000  # of a file that declares no length, or too much
PR_SET_NO_NEW_PRIVS = 38  # of Linux's prctl.h


def main() -> None:
    """Serve until the other end of the socket is closed."""
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    slots = Slots(int(sys.argv[2]), channel)
    _limit_process()
    channel.send({"ready": True})
    while (message := channel.receive()) is not None:
        if "free" in message:
            slots.free += message["free"]
        else:
            with os.fdopen(channel.descriptors.popleft(), "rb") as file:
                channel.send(_decode(file, message["max_seconds"], message["group"], slots, channel))


class Slots:
    """Places for chunks in shared memory, which the owner frees at any time, also after the file is decoded."""

    def __init__(self, memory: int, channel: Channel) -> None:
        """All are free; `memory` is a descriptor."""
        self._chunks, _ = map_chunks(memory)
        self._channel = channel
        self.free = list(range(len(self._chunks)))
        """The last of them comes first: memory that was used already, and may be in a cache."""

    def are_free(self) -> bool:
        """Whether there is a slot for the next chunk by now."""
        with suppress(TimeoutError):
            self._hear(0)
        return bool(self.free)

    def fill(self, chunk: NDArray[np.float32]) -> int:
        """Copy a chunk, float32 (66150,), to a free slot, as soon as there is one."""
        while not self.free:
            self._hear(None)
        slot = self.free.pop()
        self._chunks[slot] = chunk
        return slot

    def _hear(self, seconds: float | None) -> None:
        message = self._channel.receive(seconds)
        if message is None:
            sys.exit()
        self.free += message["free"]


def _decode(file: BinaryIO, max_seconds: float | None, group: int, slots: Slots, channel: Channel) -> dict[str, Any]:
    """Decode one file into slots, tell of each group of them, and return what is said at its end."""
    filled: list[int] = []
    clip = Clip()
    size = os.fstat(file.fileno()).st_size
    look = LOOK_SECONDS + size / LOOK_BYTES_PER_SECOND
    _allow_cpu(look)

    def opened(declared: float | None) -> None:
        by_size = size / MIN_BYTES_PER_SECOND
        seconds = by_size if declared is None else min(declared, by_size)
        _allow_cpu(look + SECONDS_PER_SECOND * seconds)
        channel.send({"seconds": seconds})

    def tell() -> None:
        channel.send({"slots": filled})
        filled.clear()

    try:
        for chunk in clip.read(file, max_seconds=max_seconds, opened=opened):
            if not slots.are_free() and filled:
                tell()
            filled.append(slots.fill(chunk))
            if len(filled) == group:
                tell()
        end = {"samples": clip.samples, "audible": clip.audible, "warning": clip.warning}
    except AudioError as error:
        end = {"error": str(error), "kind": error.kind}
    except MemoryError:
        end = {"error": "", "kind": "too_costly"}
    finally:
        _allow_cpu(0)
    return {**end, "slots": filled}


def _limit_process() -> None:
    """Set the limits that hold for the process; Linux knows all of them, other systems some."""
    for number in (signal.SIGINT, signal.SIGTERM):  # for the owner, which answers what it has and closes the socket
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, also where the owner ignores it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
    limits = {"RLIMIT_AS": MEMORY_MB * MIB, "RLIMIT_NOFILE": OPEN_FILES, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0}
    for name, value in limits.items():
        if hasattr(resource, name):
            _, hard = resource.getrlimit(getattr(resource, name))
            resource.setrlimit(getattr(resource, name), (value, hard))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # FFmpeg's own limit: a header's claim fails at once and cleanly, long before the address space ends.
    for library in (Path(av.__file__).parent.parent / "av.libs").glob("libavutil*.so*"):
        ctypes.CDLL(str(library)).av_max_alloc(ctypes.c_size_t(FFMPEG_ALLOCATION_MB * MIB))


def _allow_cpu(seconds: float) -> None:
    """Let the process take so many seconds of the processor from now on, after which a signal ends it; 0 for no limit.

    Not RLIMIT_CPU, which counts whole seconds since the process began.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)


if __name__ == "__main__":
    main()
