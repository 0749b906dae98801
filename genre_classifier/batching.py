"""Chunks of all clips, run in batches as full as they can be."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Condition, Thread
from time import monotonic
from typing import NamedTuple

import numpy as np

from genre_classifier.outputs import FloatArray, Outputs

# Chunks in a run. A CPU is no faster with more, and decoders wait the longer for a turn: with 64, a tenth fewer
# requests a second at 16 clients, and two thirds more memory.
GPU_BATCH, CPU_BATCH = 64, 16
BATCHES_AHEAD = 4  # batches of chunks in memory, those in a run included: decoding stays ahead of the session
MAX_WAIT = 1.0  # seconds that a chunk waits for others to fill its batch, should a reader be stuck on a slow disk
CLOSED = "The classifier is closed."


class ChunkBatcher:
    """Threads that run the graph on whatever chunks there are, up to a full batch at a time.

    A run waits for a full batch as long as any clip that was opened is not finished, or more are expected. Safe to use
    from several threads.
    """

    def __init__(self, run: Callable[[FloatArray], Outputs], *, batch_size: int, runners: int) -> None:
        """Start the threads.

        Args:
            run: the graph, chunks (batch, 66150) to their outputs.
            batch_size: most chunks in a run.
            runners: runs at a time.
        """
        self._run = run
        self._batch_size = batch_size
        self._max_chunks = BATCHES_AHEAD * batch_size * runners
        self._changed = Condition()
        self._queue: deque[_Row] = deque()
        self._chunks = 0  # in the queue and in runs
        self._unfinished = 0  # clips that were opened and may still add chunks, and callers who are opening more
        self._closed = False
        self._threads = [Thread(target=self._work, name="genre-session", daemon=True) for _ in range(runners)]
        for thread in self._threads:
            thread.start()

    def open(self) -> "ClipRows":
        """Announce a clip, whose reader adds its chunks and finishes it.

        Raises:
            ValueError: the batcher is closed.
        """
        with self._changed:
            if self._closed:
                raise ValueError(CLOSED)
            self._unfinished += 1
        return ClipRows(self)

    @contextmanager
    def expect(self) -> Iterator[None]:
        """Let runs wait for full batches meanwhile: the caller is opening clips."""
        with self._changed:
            self._unfinished += 1
        try:
            yield
        finally:
            with self._changed:
                self._unfinished -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Run what is queued, and end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:  # should Python end while one is in a run, the process would abort
            thread.join()

    def add(self, rows: "ClipRows", chunk: FloatArray) -> None:
        """Queue a chunk, float32 (66150,), once there is room for it.

        Raises:
            ValueError: the batcher is closed.
        """
        with self._changed:
            # There will be room: a queue as long as this holds a full batch.
            self._changed.wait_for(lambda: self._chunks < self._max_chunks or self._closed)
            if self._closed:
                raise ValueError(CLOSED)
            self._chunks += 1
            self._queue.append(_Row(rows, rows.added, chunk))
            rows.added += 1
            if len(self._queue) >= self._batch_size:
                self._changed.notify_all()

    def finish(self, rows: "ClipRows", error: BaseException | None) -> None:
        """Note that a clip has all its chunks, or failed with an error and has no more."""
        with self._changed:
            self._unfinished -= 1
            rows.complete = True
            if error:
                rows.fail(error)
            rows.settle()
            self._changed.notify_all()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                outputs = self._run(np.stack([row.chunk for row in batch]))
                answers: list[Outputs | BaseException] = [outputs.rows(i, i + 1) for i in range(len(batch))]
            except Exception as error:  # noqa: BLE001 (handed to whoever waits for these chunks)
                answers = [error] * len(batch)
            with self._changed:
                self._chunks -= len(batch)
                for row, answer in zip(batch, answers, strict=True):
                    row.clip.put(row.number, answer)
                self._changed.notify_all()

    def _next_batch(self) -> list["_Row"]:
        """The next chunks to run, in the order they came; none when closed."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._queue or self._closed)
                self._changed.wait_for(self._should_run, MAX_WAIT)
                batch = [self._queue.popleft() for _ in range(min(self._batch_size, len(self._queue)))]
                wanted = [row for row in batch if not row.clip.outputs.done()]  # a clip that failed needs no more
                self._chunks -= len(batch) - len(wanted)
                if wanted or (self._closed and not self._queue):
                    return wanted

    def _should_run(self) -> bool:
        return len(self._queue) >= self._batch_size or not self._unfinished or self._closed


class _Row(NamedTuple):
    clip: "ClipRows"
    number: int
    chunk: FloatArray


class ClipRows:
    """One clip's chunks on their way through the batches."""

    def __init__(self, batcher: ChunkBatcher) -> None:
        self.added = 0
        self.complete = False
        self.outputs: Future[Outputs] = Future()
        """The outputs of all its chunks in order, or the error that a run or its reader raised."""
        self.begun = self.ended = monotonic()
        """When its reader began, and when its outputs were there."""
        self._batcher = batcher
        self._answers: dict[int, Outputs] = {}

    def add(self, chunk: FloatArray) -> None:
        """Hand on a chunk, float32 (66150,); waits while too many are in memory."""
        self._batcher.add(self, chunk)

    def finish(self, error: BaseException | None = None) -> None:
        """Say that there are no more chunks."""
        self._batcher.finish(self, error)

    def put(self, number: int, answer: Outputs | BaseException) -> None:
        """Take a chunk's outputs."""
        if isinstance(answer, BaseException):
            self.fail(answer)
        else:
            self._answers[number] = answer
        self.settle()

    def fail(self, error: BaseException) -> None:
        """Give up this clip."""
        if not self.outputs.done():
            self.ended = monotonic()
            self.outputs.set_exception(error)

    def settle(self) -> None:
        """Hand out the outputs, if they are all there."""
        if self.complete and len(self._answers) == self.added and not self.outputs.done():
            self.ended = monotonic()
            self.outputs.set_result(Outputs.join([self._answers[number] for number in range(self.added)]))
