"""Decoder processes: what a stranger's file does to a decoder happens in a process that can be ended.

A decoder inside C code can be neither bounded nor stopped in the process that answers. So files are decoded by a few
processes of their own (decoder_process.py), under limits of memory and of the processor's time. One that dies, hangs or
is left in the middle of a file is replaced, and costs that file its answer and nothing else.
"""

import math
import mmap
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from io import UnsupportedOperation
from threading import Condition, Event
from time import monotonic
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genre_classifier.audio.channel import Channel
from genre_classifier.audio.chunks import CHUNK_SAMPLES
from genre_classifier.audio.errors import AudioError
from genre_classifier.audio.source import FileSource, open_source
from genre_classifier.clip import Clip

SUPPORTED = sys.platform != "win32" and hasattr(socket, "send_fds") and bool(sys.executable)
"""Whether this system can hand descriptors to other processes."""

SLOTS = 8  # chunks of a decoder in shared memory, 2 MB
START_SECONDS = 60.0
POLL_SECONDS = 0.2
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL", "BLIS")}  # 41 MB for each more
TOO_COSTLY = "Decoding this file takes more time or memory than its music justifies: convert it and try again."


class DecoderPool:
    """A number of decoder processes, started as they are needed.

    Safe to use from several threads; each file takes one process until it is read or given up.
    """

    def __init__(self, size: int) -> None:
        """`size` is the most processes at a time."""
        self._size = size
        self._idle: deque[_Decoder] = deque()
        self._started = 0
        self._closed = False
        self._changed = Condition()

    def start(self) -> None:
        """Start all processes now, so that no file waits for one."""
        decoders = [self._take() for _ in range(self._size)]
        for decoder in decoders:
            self._give_back(decoder)

    def read(
        self,
        clip: Clip,
        source: FileSource,
        *,
        max_seconds: float | None = None,
        file_seconds: float | None = None,
        abandoned: Event | None = None,
        opened: Callable[[float], object] | None = None,
    ) -> Generator[NDArray[np.float32]]:
        """Decode a file in another process, and yield its audible chunks as `Clip.read` does.

        Args:
            clip: told at the end what `Clip.read` would have found.
            source: a path, a file's bytes or a file object.
            max_seconds: the longest audio that is accepted; no limit if None.
            file_seconds: the longest that decoding may take by the clock, without what the caller does with each chunk;
                no limit if None.
            abandoned: ends decoding soon after it is set, from another thread.
            opened: told how many seconds of music the file has by its header.

        Raises:
            AudioError: as `Clip.read`, or kind "too_costly" where the file takes too much.
        """
        with ExitStack() as stack:
            file = _with_descriptor(open_source(source, stack), stack)
            decoder = self._take()
            stack.callback(self._give_back, decoder)
            deadline = math.inf if file_seconds is None else monotonic() + file_seconds
            yield from decoder.decode(file, clip, max_seconds, Limits(deadline, abandoned or Event()), opened)

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
            return _Decoder()
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

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs, _shared_memory(SLOTS * CHUNK_SAMPLES * 4) as memory:
            self._chunks = np.frombuffer(mmap.mmap(memory.fileno(), 0), np.float32).reshape(SLOTS, CHUNK_SAMPLES)
            descriptors = theirs.fileno(), memory.fileno()
            path = os.pathsep.join(os.path.abspath(each) for each in sys.path)  # noqa: PTH100 (strings, "" among them)
            # -P: its own folder is no place to import from. A session of its own: Ctrl-C is its owner's to handle.
            command = [sys.executable, "-P", "-m", "genre_classifier.audio.decoder_process"]
            self._process = subprocess.Popen(
                [*command, *map(str, descriptors), str(SLOTS)],
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # libmpg123 writes a line for every damaged frame
                pass_fds=descriptors,
                start_new_session=True,
            )
        self._channel = Channel(ours)
        self._is_ready = False
        self.is_idle = True
        """Whether it waits for a file; one that does not is of no further use."""

    def decode(
        self,
        file: BinaryIO,
        clip: Clip,
        max_seconds: float | None,
        limits: Limits,
        opened: Callable[[float], object] | None,
    ) -> Generator[NDArray[np.float32]]:
        """Decode an open file with a descriptor; see `DecoderPool.read`."""
        self.is_idle = False
        self._get_ready()
        self._send({"max_seconds": max_seconds}, (file.fileno(),))
        while True:
            message = self._receive(limits)
            if "slot" in message:
                chunk = self._chunks[message["slot"]].copy()
                self._send({"free": message["slot"]})
                handed_out = monotonic()
                yield chunk
                limits = limits._replace(deadline=limits.deadline + monotonic() - handed_out)
            elif "seconds" in message:
                if opened:
                    opened(message["seconds"])
            else:
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

    def _send(self, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
        """Send a message; where the process has ended, `_receive` says so."""
        with suppress(ConnectionError):
            self._channel.send(message, descriptors)

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


def _shared_memory(size: int) -> BinaryIO:
    """A file of so many bytes that no name leads to; not in /dev/shm, where writing to a full one kills a process."""
    if hasattr(os, "memfd_create"):
        file: BinaryIO = os.fdopen(os.memfd_create("genre-chunks"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 (its owner closes it)
    file.truncate(size)
    return file


def _with_descriptor(file: BinaryIO, stack: ExitStack) -> BinaryIO:
    """The file itself where the system knows it, else a copy."""
    try:
        file.fileno()
    except (AttributeError, UnsupportedOperation):
        copy = stack.enter_context(_shared_memory(0))
        shutil.copyfileobj(file, copy)
        copy.flush()
        return copy
    return file
