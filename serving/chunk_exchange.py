"""How chunks get from the front to the model without being sent: the front hands over its memory once, then places.

A place is the number of a memory, a slot of it and which use of that slot. The model's process copies the chunks of a
run into the session's input. One that is not there any more, or never was, is refused, and no other.
"""

import logging
import os
import socket
import weakref
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from time import sleep

import numpy as np
from numpy.typing import NDArray

from genre_classifier.audio.channel import Channel
from genre_classifier.audio.chunk_memory import ChunkMemory, ChunkReader
from genre_classifier.outputs import FloatArray

logger = logging.getLogger("bentoml.genre")

Places = NDArray[np.int64]
"""int64 (batch, 3): memory, slot, use."""

SOCKET = "chunks"
SECONDS = 5.0  # that the model's process may take to map a memory
RETRY_SECONDS = 0.5


class Receiver:
    """The model's end: the memories of all fronts, each as long as its front lives."""

    def __init__(self, folder: Path) -> None:
        """Listen in the service's own folder."""
        self._readers: dict[int, ChunkReader] = {}
        self._lock = Lock()
        path = folder / SOCKET
        path.unlink(missing_ok=True)  # of the process that was here before
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        Thread(target=self._accept, name="genre-chunks", daemon=True).start()

    def gather(self, places: Places, out: FloatArray) -> NDArray[np.bool_]:
        """Copy chunks to the first rows of `out`, float32 (rows, 66150); say of each whether it was there."""
        there = np.zeros(len(places), bool)
        edges = np.flatnonzero(np.diff(places[:, 0])) + 1  # chunks of a call lie in one memory
        for rows in map(slice, [0, *edges], [*edges, len(places)]):
            reader = self._readers.get(int(places[rows.start, 0]))
            if reader:
                there[rows] = reader.copy(places[rows, 1], places[rows, 2], out[rows])
        out[: len(places)][~there] = 0
        return there

    def _accept(self) -> None:
        while True:
            try:
                front, _ = self._socket.accept()
            except OSError:  # there are too many open files
                sleep(RETRY_SECONDS)
                continue
            Thread(target=self._serve, args=(Channel(front),), name="genre-chunks", daemon=True).start()

    def _serve(self, front: Channel) -> None:
        """Map what a front hands over, until it has gone."""
        own: dict[int, ChunkReader] = {}
        try:
            while message := front.receive():
                if "gone" in message:
                    self._drop(own, message["gone"])
                else:
                    number, descriptor = message["memory"], front.descriptors.popleft()
                    try:
                        own[number] = self._readers[number] = ChunkReader(descriptor)
                    finally:
                        os.close(descriptor)
                    front.send({"mapped": number})
        except Exception:
            logger.exception("A front process handed over what is no memory for chunks.")
        finally:
            front.close()
            for number in list(own):
                self._drop(own, number)

    def _drop(self, own: dict[int, ChunkReader], number: int) -> None:
        """Drop a memory of a front, unless that front has come again and handed it over anew."""
        reader = own.pop(number, None)
        with self._lock:
            if reader and self._readers.get(number) is reader:
                del self._readers[number]


class Sender:
    """A front's end. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        """Connect when there is something to hand over."""
        self._path = folder / SOCKET
        self._lock = Lock()
        self._channel: Channel | None = None
        self._handed: dict[int, weakref.ref[ChunkMemory]] = {}

    def has_handed(self, memory: ChunkMemory) -> bool:
        """Whether the model's process has it, or had it before it was replaced."""
        return memory.number in self._handed

    def hand_over(self, memory: ChunkMemory, *, again: bool = False) -> None:
        """Hand over a memory.

        Args:
            memory: to be mapped by the model's process.
            again: also where that is done: another process is there now.

        Raises:
            OSError: the model's process is gone, or does not take it.
        """
        with self._lock:
            if self.has_handed(memory) and not again:
                return
            if self._channel:
                with suppress(OSError):
                    self._try(self._channel, memory)
                    return
                self._channel.close()
            self._handed.clear()
            self._channel = self._connect()
            self._try(self._channel, memory)

    def _connect(self) -> Channel:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(SECONDS)
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            raise
        return Channel(connection)

    def _try(self, channel: Channel, memory: ChunkMemory) -> None:
        for number in [number for number, known in self._handed.items() if known() is None]:  # of decoders that ended
            channel.send({"gone": number})
            del self._handed[number]
        channel.send({"memory": memory.number}, (memory.descriptor,))
        if channel.receive(SECONDS) is None:
            raise ConnectionError("The memory was not mapped.")
        self._handed[memory.number] = weakref.ref(memory)
