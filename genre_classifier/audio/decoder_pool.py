"""Decoder processes: what a stranger's file does to a decoder happens in a process that can be ended.

A decoder inside C code can be neither bounded nor stopped in the process that answers. So files are decoded by a few
processes of their own (decoder_process.py), under limits of memory and of the processor's time. One that dies, hangs or
is left in the middle of a file is replaced, and costs that file its answer and nothing else.
"""

import math
import os
import shutil
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, suppress
from functools import partial
from io import UnsupportedOperation
from threading import Condition, Event
from time import monotonic
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genre_classifier.audio.channel import Channel
from genre_classifier.audio.chunk_memory import ChunkMemory, SharedChunk, nameless_file, release
from genre_classifier.audio.errors import AudioError
from genre_classifier.audio.source import FileSource, open_source
from genre_classifier.clip import Clip

SUPPORTED = sys.platform != "win32" and hasattr(socket, "send_fds") and bool(sys.executable)
"""Whether this system can hand descriptors to other processes."""

SLOTS = 8  # chunks of a decoder in shared memory, 2 MB, where they are copied as they come
START_SECONDS = 60.0
POLL_SECONDS = 0.2
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL", "BLIS")}  # 41 MB for each more
TOO_COSTLY = "Decoding this file takes more time or memory than its music justifies: convert it and try again."


class DecoderPool:
    """A number of decoder processes, started as they are needed.

    Safe to use from several threads; each file takes one process until it is read or given up.
    """

    def __init__(self, size: int, slots: int = SLOTS) -> None:
        """Start none yet.

        Args:
            size: the most processes at a time.
            slots: chunks of each in shared memory; once they are all taken, it waits.
        """
        self._size = size
        self._slots = slots
        self._idle: deque[_Decoder] = deque()
        self._started = 0
        self._closed = False
        self._changed = Condition()

    def start(self) -> None:
        """Start all processes now, so that no file waits for one."""
        decoders = [self._take() for _ in range(self._size)]
        for decoder in decoders:
            self._give_back(decoder)

    def read(self, clip: Clip, source: FileSource, **limits: Any) -> Generator[NDArray[np.float32]]:
        """Decode a file in another process, and yield its audible chunks, float32 (66150,), as `Clip.read` does.

        Takes and raises what `read_shared` does.
        """
        with closing(self.read_shared(clip, source, **limits)) as chunks:
            for chunk in chunks:
                samples = chunk.samples.copy()
                release([chunk])
                yield samples

    def read_shared(
        self,
        clip: Clip,
        source: FileSource,
        *,
        max_seconds: float | None = None,
        file_seconds: float | None = None,
        abandoned: Event | None = None,
        opened: Callable[[float], object] | None = None,
        group: int = 1,
    ) -> Generator[SharedChunk]:
        """Decode a file in another process, and yield its audible chunks in memory that other processes can map.

        Whoever takes a chunk releases it, whether or not all is read.

        Args:
            clip: told at the end what `Clip.read` would have found.
            source: a path, a file's bytes or a file object.
            max_seconds: the longest audio that is accepted; no limit if None.
            file_seconds: the longest that decoding may take by the clock, without what the caller does with each chunk;
                no limit if None.
            abandoned: ends decoding soon after it is set, from another thread.
            opened: told how many seconds of music the file has by its header.
            group: chunks that come at a time: to hear of each alone costs 0.1 ms.

        Raises:
            AudioError: as `Clip.read`, or kind "too_costly" where the file takes too much.
        """
        with ExitStack() as stack:
            file = _with_descriptor(open_source(source, stack), stack)
            decoder = self._take()
            stack.callback(self._give_back, decoder)
            deadline = math.inf if file_seconds is None else monotonic() + file_seconds
            limits = Limits(deadline, abandoned or Event())
            yield from decoder.decode(file, clip, max_seconds=max_seconds, group=group, limits=limits, opened=opened)

    def close(self) -> None:
        """End the processes; those at work end with their file."""
        with self._changed:
            self._closed = True
            while self._idle:
                self._idle.pop().end()

    def _take(self) -> "_Decoder":
        with self._changed:
            self._changed.wait_for(lambda: self._idle or self._started < self._size)
            while self._idle:
                if (decoder := self._idle.pop()).is_alive:
                    return decoder
                decoder.end()
                self._started -= 1
            self._started += 1
        try:
            return _Decoder(self._slots)
        except BaseException:
            self._forget()
            raise

    def _give_back(self, decoder: "_Decoder") -> None:
        if not decoder.is_idle or self._closed:
            decoder.end()
            self._forget()
            return
        with self._changed:
            self._idle.append(decoder)
            self._changed.notify()

    def _forget(self) -> None:
        with self._changed:
            self._started -= 1
            self._changed.notify()


class Limits(NamedTuple):
    """When to give a file up."""

    deadline: float
    """On the clock `time.monotonic`."""
    abandoned: Event


class _Decoder:
    """One decoder process."""

    def __init__(self, slots: int) -> None:
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        self._memory = ChunkMemory(slots, freed=partial(_free, self._channel))
        with theirs:
            descriptors = theirs.fileno(), self._memory.descriptor
            path = os.pathsep.join(os.path.abspath(each) for each in sys.path)  # noqa: PTH100 (strings, "" among them)
            # -P: its own folder is no place to import from. A session of its own: Ctrl-C is its owner's to handle.
            command = [sys.executable, "-P", "-m", "genre_classifier.audio.decoder_process"]
            self._process = subprocess.Popen(
                [*command, *map(str, descriptors)],
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # libmpg123 writes a line for every damaged frame
                pass_fds=descriptors,
                start_new_session=True,
            )
        self._is_ready = False
        self.is_idle = True
        """Whether it waits for a file; one that does not is of no further use."""

    def decode(
        self,
        file: BinaryIO,
        clip: Clip,
        *,
        max_seconds: float | None,
        group: int,
        limits: Limits,
        opened: Callable[[float], object] | None,
    ) -> Generator[SharedChunk]:
        """Decode an open file with a descriptor; see `DecoderPool.read_shared`."""
        self.is_idle = False
        self._get_ready()
        with suppress(OSError):  # where the process has ended, `_receive` says so
            self._channel.send({"max_seconds": max_seconds, "group": group}, (file.fileno(),))
        while True:
            message = self._receive(limits)
            for slot in message.get("slots", ()):
                handed_out = monotonic()
                yield self._memory.chunk(slot)
                limits = limits._replace(deadline=limits.deadline + monotonic() - handed_out)
            if "seconds" in message and opened:
                opened(message["seconds"])
            if "samples" in message or "error" in message:
                break
        self.is_idle = True
        if "error" in message:
            raise AudioError(message["error"] or TOO_COSTLY, message["kind"])
        clip.samples, clip.audible, clip.warning = message["samples"], message["audible"], message["warning"]

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._channel.close()

    def _get_ready(self) -> None:
        """Wait until it has started.

        Raises:
            RuntimeError: it ended instead.
        """
        if not self._is_ready:
            with suppress(TimeoutError):
                self._is_ready = self._channel.receive(START_SECONDS) is not None
            if not self._is_ready:
                raise RuntimeError("A decoder process could not be started.")

    def _receive(self, limits: Limits) -> dict[str, Any]:
        """The next message.

        Raises:
            AudioError: the process has ended, or a limit is reached.
        """
        while monotonic() < limits.deadline and not limits.abandoned.is_set():
            try:
                message = self._channel.receive(POLL_SECONDS)
            except TimeoutError:
                continue
            if message is None:
                break
            return message
        raise AudioError(TOO_COSTLY, "too_costly")


def _free(channel: Channel, slots: list[int]) -> None:
    """Tell a decoder which slots it may fill again; to one that has ended it does not matter."""
    with suppress(OSError):
        channel.send({"free": slots})


def _with_descriptor(file: BinaryIO, stack: ExitStack) -> BinaryIO:
    """The file itself where the system knows it, else a copy."""
    try:
        file.fileno()
    except (AttributeError, UnsupportedOperation):
        copy = stack.enter_context(nameless_file())
        shutil.copyfileobj(file, copy)
        copy.flush()
        return copy
    return file
