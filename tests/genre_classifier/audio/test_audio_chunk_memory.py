"""Chunks in shared memory: what is in a slot stays until it is released, and late or wrong readers get nothing."""

import os
import subprocess
import sys

import numpy as np
import pytest

from genre_classifier.audio import CHUNK_SAMPLES
from genre_classifier.audio.chunk_memory import (
    CHUNK_BYTES,
    HAS_SEALS,
    HEADER_BYTES,
    ChunkMemory,
    ChunkReader,
    nameless_file,
    release,
)
from genre_classifier.audio.decoder_pool import SUPPORTED, DecoderPool
from genre_classifier.clip import Clip
from tests.support import ROOT
from tests.support.audio import encode, tone

sealed = pytest.mark.skipif(not HAS_SEALS, reason="no memory can be kept from shrinking here")
decoded = pytest.mark.skipif(not SUPPORTED, reason="no descriptors can be handed to other processes here")


@pytest.fixture
def memory():
    memory = ChunkMemory(4)
    memory.chunks[:] = np.arange(4, dtype=np.float32)[:, None]
    return memory


def copy(reader, *places):
    out = np.full((len(places), CHUNK_SAMPLES), 9, np.float32)
    slots, uses = np.array(places).T
    return reader.copy(slots, uses, out).tolist(), out[:, 0].tolist()


def test_a_reader_finds_chunks_by_their_places(memory):
    reader = ChunkReader(memory.descriptor)
    places = [memory.chunk(slot).place[1:] for slot in (3, 1, 1)]
    assert copy(reader, *places) == ([True] * 3, [3, 1, 1])


@pytest.mark.parametrize("place", [(4, 0), (511, 0), (10**15, 0), (-1, 0), (1, 1), (1, -1)])
def test_a_place_that_is_none_is_refused_alone(memory, place):
    there, values = copy(ChunkReader(memory.descriptor), (3, 0), place, (2, 0))
    assert there == [True, False, True]
    assert values[0::2] == [3, 2]


def test_a_slot_that_was_released_is_refused(memory):
    chunk = memory.chunk(2)
    release([chunk])
    reader = ChunkReader(memory.descriptor)
    assert copy(reader, chunk.place[1:])[0] == [False]
    assert copy(reader, memory.chunk(2).place[1:]) == ([True], [2])


def test_a_slot_that_is_released_while_it_is_copied_is_refused(memory, monkeypatch):
    chunk, take = memory.chunk(2), np.take

    def take_and_release(*args, **options):
        take(*args, **options)
        release([chunk])

    monkeypatch.setattr(np, "take", take_and_release)
    assert copy(ChunkReader(memory.descriptor), (1, 0), chunk.place[1:])[0] == [True, False]


def test_a_slot_is_freed_once():
    freed = []
    memory, other = ChunkMemory(4, freed=freed.append), ChunkMemory(1, freed=freed.append)
    chunks = [memory.chunk(0), memory.chunk(3), other.chunk(0)]
    release(chunks)
    release(chunks)
    release([memory.chunk(3)])
    assert sorted(freed) == [[0], [0, 3], [3]]


@sealed
def test_memory_cannot_shrink_under_its_readers(memory):
    with pytest.raises(PermissionError):
        os.truncate(memory.descriptor, HEADER_BYTES)
    with nameless_file() as file:
        file.truncate(HEADER_BYTES + CHUNK_BYTES)
        with pytest.raises(ValueError, match="shrink"):
            ChunkReader(file.fileno())
    with open(os.devnull) as file, pytest.raises(ValueError, match="shrink"):  # noqa: PTH123
        ChunkReader(file.fileno())


@pytest.mark.parametrize("size", [0, HEADER_BYTES, HEADER_BYTES + CHUNK_BYTES + 1, HEADER_BYTES + 513 * CHUNK_BYTES])
def test_memory_of_another_size_is_none(size, monkeypatch):
    monkeypatch.setattr("genre_classifier.audio.chunk_memory.HAS_SEALS", False)
    with nameless_file() as file:
        file.truncate(size)
        with pytest.raises(ValueError, match="no memory for chunks"):
            ChunkReader(file.fileno())


def test_memory_that_nobody_holds_is_gone():
    program = (
        "import os; from genre_classifier.audio.chunk_memory import ChunkMemory, ChunkReader\n"
        "def left(): return len(os.listdir('/proc/self/fd')), open('/proc/self/maps').read().count('genre-chunks')\n"
        "before = left(); memory = ChunkMemory(4); reader = ChunkReader(memory.descriptor); chunk = memory.chunk(1)\n"
        "del memory, reader; assert left()[1] == 1; del chunk; assert left() == before\n"
    )
    if sys.platform != "linux":
        pytest.skip("no /proc here")
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@decoded
@pytest.mark.parametrize("group", [1, 2, 100])
def test_a_decoder_writes_to_no_slot_before_it_is_released(group):
    song = encode(tone(30))
    expected = list(Clip().read(song))
    pool = DecoderPool(1, slots=3)
    try:
        chunks = pool.read_shared(Clip(), song, group=group)
        held = [next(chunks) for _ in range(2)]
        for number in range(2, 10):  # by the third slot alone
            chunk = next(chunks)
            np.testing.assert_array_equal(chunk.samples, expected[number])
            release([chunk])
        assert next(chunks, None) is None
        second = pool.read_shared(Clip(), song, group=group)  # the next file leaves them alone too
        for number in range(10):
            chunk = next(second)
            np.testing.assert_array_equal(chunk.samples, expected[number])
            release([chunk])
        second.close()
        for number, chunk in enumerate(held):
            np.testing.assert_array_equal(chunk.samples, expected[number])
    finally:
        pool.close()


@decoded
def test_memory_outlives_its_decoder():
    song = encode(tone(9))
    pool = DecoderPool(1)
    chunks = list(pool.read_shared(Clip(), song))
    pool.close()
    np.testing.assert_array_equal([chunk.samples for chunk in chunks], list(Clip().read(song)))
    release(chunks)  # there is nobody to tell
