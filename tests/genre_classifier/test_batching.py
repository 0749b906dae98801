"""Batches: full while anything is to come, in order for each clip, and bounded in memory."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore, Thread

import numpy as np
import pytest

from genre_classifier.audio import CHUNK_SAMPLES
from genre_classifier.batching import BATCHES_AHEAD, ChunkBatcher
from genre_classifier.outputs import Outputs


def chunk(value):
    return np.full(CHUNK_SAMPLES, value, np.float32)


class Graph:
    """A graph whose outputs say which chunk they are of; it notes how many rows each run has."""

    def __init__(self):
        self.rows = []

    def run(self, chunks):
        self.rows.append(len(chunks))
        return Outputs(chunks[:, :3], chunks[:, :5])


@pytest.fixture
def graph():
    return Graph()


def read(batcher, values):
    rows = batcher.open()
    for value in values:
        rows.add(chunk(value))
    rows.finish()
    return rows


def test_each_clip_has_the_outputs_of_its_own_chunks_in_order(graph):
    batcher = ChunkBatcher(graph.run, batch_size=8, runners=3)
    with ThreadPoolExecutor(6) as pool:
        clips = [pool.submit(read, batcher, range(100 * clip, 100 * clip + clip)) for clip in range(1, 30)]
        for number, clip in enumerate(clips, start=1):
            outputs = clip.result().outputs.result()
            assert outputs.log_probs[:, 0].tolist() == list(range(100 * number, 101 * number))
            assert outputs.embedding.shape == (number, 5)
    assert sum(graph.rows) == sum(range(1, 30))
    assert max(graph.rows) <= 8


def test_batches_are_full_while_a_clip_is_unfinished(graph):
    batcher = ChunkBatcher(graph.run, batch_size=8, runners=1)
    unfinished = batcher.open()
    clips = [read(batcher, range(5)) for _ in range(8)]
    for clip in clips:
        clip.outputs.result()
    assert graph.rows == [8] * 5
    unfinished.add(chunk(1))
    unfinished.finish()
    unfinished.outputs.result()
    assert graph.rows == [*[8] * 5, 1]


def test_batches_are_full_while_clips_are_expected(graph):
    batcher = ChunkBatcher(graph.run, batch_size=8, runners=1)
    with batcher.expect():
        clips = [read(batcher, range(1)) for _ in range(20)]
        for clip in clips[:16]:
            clip.outputs.result()
    for clip in clips[16:]:
        clip.outputs.result()
    assert graph.rows == [8, 8, 4]


def test_a_chunk_does_not_wait_for_ever_for_a_reader_that_is_stuck(graph, monkeypatch):
    monkeypatch.setattr("genre_classifier.batching.MAX_WAIT", 0.01)
    batcher = ChunkBatcher(graph.run, batch_size=8, runners=1)
    batcher.open()  # and never finished
    assert len(read(batcher, range(3)).outputs.result().log_probs) == 3


def test_readers_wait_when_the_graph_is_behind():
    runs = Semaphore(0)
    blocked = Graph()

    def run(chunks):
        runs.acquire()
        return blocked.run(chunks)

    batcher = ChunkBatcher(run, batch_size=2, runners=1)
    added = []
    full = Event()

    def add():
        rows = batcher.open()
        for value in range(100):
            rows.add(chunk(value))
            added.append(value)
            if len(added) == 2 * BATCHES_AHEAD:
                full.set()
        rows.finish()
        return rows

    with ThreadPoolExecutor(1) as pool:
        rows = pool.submit(add)
        assert full.wait(60)
        assert len(added) <= 2 * BATCHES_AHEAD
        for _ in range(50):
            runs.release()
        assert len(rows.result().outputs.result().log_probs) == 100


def test_a_run_that_fails_fails_the_clips_in_it_alone():
    def run(chunks):
        if (chunks == 13).any():
            raise RuntimeError("out of memory")
        return Graph().run(chunks)

    batcher = ChunkBatcher(run, batch_size=4, runners=1)
    good, bad, other = read(batcher, [1]), read(batcher, [13] * 8), read(batcher, [2])
    with pytest.raises(RuntimeError, match="out of memory"):
        bad.outputs.result()
    assert other.outputs.result().log_probs[0, 0] == 2
    assert good.outputs.exception() is None or isinstance(good.outputs.exception(), RuntimeError)


def test_a_reader_s_error_is_the_clip_s(graph):
    batcher = ChunkBatcher(graph.run, batch_size=4, runners=1)
    rows = batcher.open()
    rows.add(chunk(1))
    rows.finish(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        rows.outputs.result()
    assert read(batcher, [2]).outputs.result().log_probs[0, 0] == 2


def test_closed_it_takes_no_more(graph):
    batcher = ChunkBatcher(graph.run, batch_size=4, runners=1)
    batcher.close()
    with pytest.raises(ValueError, match="closed"):
        batcher.open()


def test_it_is_closed_when_the_run_under_way_has_ended(graph):
    began, may_end, order = Event(), Event(), []

    def run(chunks):
        began.set()
        may_end.wait()
        order.append("run")
        return graph.run(chunks)

    batcher = ChunkBatcher(run, batch_size=1, runners=1)
    rows = batcher.open()
    rows.add(chunk(1))
    began.wait()
    closer = Thread(target=lambda: (batcher.close(), order.append("closed")))
    closer.start()
    closer.join(timeout=0.5)  # it would be over by now if it did not wait
    with pytest.raises(ValueError, match="closed"):
        rows.add(chunk(2))
    may_end.set()
    closer.join()
    assert order == ["run", "closed"]
