"""Chunks in memory that processes share: a decoder writes them, and who is handed the memory's descriptor reads them.

Each chunk lies in a slot, and its owner counts the uses of each slot. A reader that comes late finds another count, and
so cannot take a chunk for the one that was there before.
"""

import mmap
import os
import secrets
import sys
import tempfile
import weakref
from collections.abc import Callable, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genre_classifier.audio.chunks import CHUNK_SAMPLES

if sys.platform != "win32":
    import fcntl

CHUNK_BYTES = 4 * CHUNK_SAMPLES
MAX_SLOTS = 512
HAS_SEALS = hasattr(os, "memfd_create")  # Linux
HEADER_BYTES = 8 * MAX_SLOTS  # the uses of each slot: a page, after which the chunks begin


class ChunkMemory:
    """Slots for chunks. The memory is there as long as any process has it mapped, and gone with the last."""

    def __init__(self, slots: int, freed: Callable[[list[int]], object] = lambda _: None) -> None:
        """Own new memory.

        Args:
            slots: how many, up to 512.
            freed: told which slots are free again.
        """
        file = nameless_file()
        weakref.finalize(self, file.close)
        file.truncate(HEADER_BYTES + slots * CHUNK_BYTES)
        if HAS_SEALS:  # should a file take over its decoder, this could shrink, which would kill the readers
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self.descriptor = file.fileno()
        """To be handed to other processes."""
        self.number = secrets.randbits(63)
        """No other memory has it, in whichever process."""
        self.chunks, self._uses = map_chunks(self.descriptor)
        """float32 (slots, 66150)."""
        self._freed = freed

    def chunk(self, slot: int) -> "SharedChunk":
        """The chunk that a slot holds, until it is released."""
        if not 0 <= slot < len(self.chunks):
            raise IndexError(slot)
        return SharedChunk(self, slot, int(self._uses[slot]))

    def release(self, chunks: Sequence["SharedChunk"]) -> None:
        """Free the slots of chunks; those that were released before stay as they are."""
        slots = []
        for chunk in chunks:
            if self._uses[chunk.slot] == chunk.use:
                self._uses[chunk.slot] += 1
                slots.append(chunk.slot)
        if slots:
            self._freed(slots)


class SharedChunk(NamedTuple):
    """A chunk in a slot, which stays as it is until it is released."""

    memory: ChunkMemory
    slot: int
    use: int

    @property
    def samples(self) -> NDArray[np.float32]:
        """float32 (66150,), in place."""
        samples: NDArray[np.float32] = self.memory.chunks[self.slot]
        return samples

    @property
    def place(self) -> tuple[int, int, int]:
        """How another process finds it: the memory's number, the slot, and which use of it."""
        return self.memory.number, self.slot, self.use


def release(chunks: Sequence[SharedChunk]) -> None:
    """Free the slots of chunks, which may lie in several memories."""
    for memory in {chunk.memory for chunk in chunks}:
        memory.release([chunk for chunk in chunks if chunk.memory is memory])


class ChunkReader:
    """The memory of another process, by the descriptor that it handed over."""

    def __init__(self, descriptor: int) -> None:
        """Map the memory; the descriptor stays the caller's.

        Raises:
            ValueError: it is no such memory, or could shrink while it is read, which would end this process.
        """
        if HAS_SEALS and not _can_no_longer_shrink(descriptor):
            raise ValueError("It could shrink.")
        self._chunks, self._uses = map_chunks(descriptor, mmap.ACCESS_READ)

    def copy(self, slots: NDArray[np.int64], uses: NDArray[np.int64], out: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Copy chunks to `out`, float32 (batch, 66150), and say of each whether it was there.

        Where a slot does not hold what it is said to hold, or not any more, the row is of no use.

        Args:
            slots: int64 (batch,).
            uses: of the slots, int64 (batch,).
            out: float32 (batch, 66150).
        """
        there: NDArray[np.bool_] = (slots >= 0) & (slots < len(self._chunks))
        slots = np.where(there, slots, 0)
        there &= self._uses[slots] == uses
        # In one go: between two, another thread may take Python's lock for 5 ms.
        np.take(self._chunks, slots, axis=0, out=out, mode="clip")
        there &= self._uses[slots] == uses
        return there


def map_chunks(descriptor: int, access: int = mmap.ACCESS_WRITE) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The chunks, float32 (slots, 66150), and the uses of each slot, int64 (512,), in memory by its descriptor.

    Raises:
        ValueError: it has another size than such memory.
    """
    size = os.fstat(descriptor).st_size
    slots, rest = divmod(size - HEADER_BYTES, CHUNK_BYTES)
    if rest or not 1 <= slots <= MAX_SLOTS:
        raise ValueError(f"{size} bytes are no memory for chunks.")
    memory = mmap.mmap(descriptor, size, access=access)
    chunks = np.frombuffer(memory, np.float32, offset=HEADER_BYTES).reshape(slots, CHUNK_SAMPLES)
    return chunks, np.frombuffer(memory, np.int64, count=MAX_SLOTS)


def nameless_file() -> BinaryIO:
    """A file that no name leads to; not in /dev/shm, where writing to a full one kills a process."""
    if HAS_SEALS:
        return os.fdopen(os.memfd_create("genre-chunks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b")
    return tempfile.TemporaryFile()


def _can_no_longer_shrink(descriptor: int) -> bool:
    try:
        return bool(fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
    except OSError:  # a file of another kind
        return False
