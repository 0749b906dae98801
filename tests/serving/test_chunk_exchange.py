"""Memory that fronts hand over: chunks are found by their places, and what a process had goes with it."""

import os
import time

import numpy as np
import pytest

from genre_classifier.audio import CHUNK_SAMPLES
from genre_classifier.audio.chunk_memory import ChunkMemory
from serving.chunk_exchange import Sender
from tests.support.receiver import MortalReceiver


@pytest.fixture
def receiver(tmp_path):
    receiver = MortalReceiver(tmp_path)
    yield receiver
    receiver.die()


def filled(value, slots=4):
    memory = ChunkMemory(slots)
    memory.chunks[:] = value + np.arange(slots, dtype=np.float32)[:, None]
    return memory


def gather(receiver, *places):
    out = np.full((len(places) + 1, CHUNK_SAMPLES), 9, np.float32)
    there = receiver.gather(np.array(places, np.int64), out)
    return there.tolist(), out[:, 7].tolist()


def wait_for(receiver, memories):
    for _ in range(500):
        if receiver.memories == memories:
            return
        time.sleep(0.01)
    raise AssertionError(f"{receiver.memories} are mapped, not {memories}.")


def test_chunks_of_several_fronts_come_in_the_order_of_their_places(receiver, tmp_path):
    memories = [filled(10), filled(20), filled(30)]
    fronts = Sender(tmp_path), Sender(tmp_path)
    for front, memory in zip((fronts[0], fronts[0], fronts[1]), memories, strict=True):
        front.hand_over(memory)
        assert front.has_handed(memory)
    one, two, three = memories
    chunks = [one.chunk(2), one.chunk(1), three.chunk(3), two.chunk(0), one.chunk(0)]
    assert gather(receiver, *(chunk.place for chunk in chunks)) == ([True] * 5, [12, 11, 33, 20, 10, 9])


def test_what_is_not_there_is_refused_alone_and_leaves_no_sound(receiver, tmp_path):
    memory, unknown = filled(10), filled(20)
    front = Sender(tmp_path)
    front.hand_over(memory)
    number = memory.number
    places = [(number, 1, 0), (number, 4, 0), unknown.chunk(0).place, (number, -1, 0), (number, 2, 1), (number, 3, 0)]
    assert gather(receiver, *places) == ([True, *[False] * 4, True], [11, 0, 0, 0, 0, 13, 9])


def test_what_a_front_handed_over_goes_with_it(receiver, tmp_path):
    memories = [filled(10), filled(20)]
    front, other = Sender(tmp_path), Sender(tmp_path)
    front.hand_over(memories[0])
    other.hand_over(memories[1])
    front._channel.close()  # noqa: SLF001 (it ends)
    wait_for(receiver, 1)
    there, _ = gather(receiver, memories[0].chunk(0).place, memories[1].chunk(0).place)
    assert there == [False, True]


def test_memory_of_decoders_that_were_ended_goes_with_the_next(receiver, tmp_path):
    front = Sender(tmp_path)
    for _ in range(5):
        memory = filled(10)
        front.hand_over(memory)
    assert receiver.memories == 1
    assert gather(receiver, memory.chunk(0).place)[0] == [True]


def test_another_process_in_the_model_s_place_is_found(receiver, tmp_path):
    memory, other = filled(10), filled(20)
    front = Sender(tmp_path)
    front.hand_over(memory)
    receiver.die()
    with pytest.raises(FileNotFoundError):
        front.hand_over(other)
    following = MortalReceiver(tmp_path)
    front.hand_over(other)
    assert not front.has_handed(memory)
    front.hand_over(memory)
    assert gather(following, memory.chunk(0).place, other.chunk(0).place)[0] == [True, True]
    following.die()


def test_a_front_that_comes_again_keeps_what_it_has(receiver, tmp_path):
    """Its earlier connection may end after the new one has begun."""
    memory = filled(10)
    front, again = Sender(tmp_path), Sender(tmp_path)
    front.hand_over(memory)
    again.hand_over(memory)
    front._channel.close()  # noqa: SLF001
    memories = [filled(20) for _ in range(3)]
    for each in memories:
        again.hand_over(each)
    time.sleep(0.1)
    assert gather(receiver, memory.chunk(1).place) == ([True], [11, 9])


def test_what_is_no_memory_is_not_mapped_and_others_are(receiver, tmp_path):
    front, other = Sender(tmp_path), Sender(tmp_path)
    wrong = filled(10)
    with open(os.devnull) as file:  # noqa: PTH123
        wrong.descriptor = file.fileno()
        with pytest.raises(ConnectionError):
            front.hand_over(wrong)
    assert not front.has_handed(wrong)
    memory = filled(20)
    for each in (front, other):
        each.hand_over(memory)
    assert gather(receiver, memory.chunk(0).place)[0] == [True]
