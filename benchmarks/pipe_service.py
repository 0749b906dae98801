"""The service around a session that does nothing, for `benchmarks.pipe`.

With GENRE_PIPE_CHUNKS, each front process classifies clips of so many chunks over and over, from slots that are full
already: nothing is received or decoded. Without it, files are received and decoded as ever.

It also serves revisions before chunks were shared, where a front copied each out of its slot.
"""

import asyncio
import importlib
import os
from collections.abc import Iterator
from io import BytesIO
from queue import SimpleQueue
from typing import Any

import numpy as np

from genre_classifier.audio import CHUNK_SAMPLES, CHUNK_SECONDS
from genre_classifier.clip import Clip
from genre_classifier.models import find_model
from genre_classifier.outputs import FloatArray, Outputs
from genre_classifier.session import GenreSession
from genre_classifier.verdict import ClassifyOptions
from serving.pipeline import Figures

CHUNKS = int(os.environ.get("GENRE_PIPE_CHUNKS", "0"))
CLIPS = 16  # at a time, of each front process
SLOTS = 128
LOOK_SECONDS = 0.1


class NoSession:
    """Answers at once, and always the same."""

    def __init__(self, settings: Any, provider: Any) -> None:
        """Take the answer of the real session to one chunk."""
        session = GenreSession(find_model(settings.model), provider=provider)
        self._answer = session.run(np.full((1, CHUNK_SAMPLES), 0.1, np.float32))
        self.info = session.info

    def run(self, chunks: FloatArray) -> Outputs:
        """Repeat the answer for each chunk."""
        parts: list[Any] = [None if each is None else np.repeat(each, len(chunks), axis=0) for each in self._answer]
        return Outputs(*parts)


class FullSlots:
    """Chunks that are decoded already, in the place of a pool of decoders."""

    def __init__(self, *_: int) -> None:
        """Fill the slots."""
        self._free: SimpleQueue[int] = SimpleQueue()
        self._clear(range(SLOTS))
        samples = np.random.default_rng(0).standard_normal(CHUNK_SAMPLES, np.float32)
        try:
            memory = importlib.import_module("genre_classifier.audio.chunk_memory")
        except ImportError:
            self._chunks = np.tile(samples, (SLOTS, 1))
        else:
            self._memory = memory.ChunkMemory(SLOTS, freed=self._clear)
            self._memory.chunks[:] = samples

    def read_shared(self, clip: Clip, *_: Any, **__: Any) -> Iterator[Any]:
        """The chunks of one clip, each once there is a free slot."""
        for _chunk in range(CHUNKS):
            yield self._memory.chunk(self._free.get())
        clip.samples, clip.audible = CHUNKS * CHUNK_SAMPLES, [True] * CHUNKS

    def read(self, clip: Clip, *_: Any, **__: Any) -> Iterator[FloatArray]:
        """The same, as it was."""
        for _chunk in range(CHUNKS):
            slot = self._free.get()
            yield self._chunks[slot].copy()
            self._free.put(slot)
        clip.samples, clip.audible = CHUNKS * CHUNK_SAMPLES, [True] * CHUNKS

    def _clear(self, slots: Any) -> None:
        for slot in slots:
            self._free.put(slot)


def classify_forever(pipeline: Any) -> None:
    """Start to classify clips, in the place of the warm-up."""

    async def classify() -> None:
        while not await pipeline.model.is_ready():  # noqa: ASYNC110 (nothing here tells of another process)
            await asyncio.sleep(LOOK_SECONDS)
        while True:
            with pipeline.admission.admit([CHUNK_SECONDS * CHUNKS]) as (work,):
                await pipeline.classify(BytesIO(), ClassifyOptions(), Figures(), work)

    pipeline.loops = [asyncio.create_task(classify()) for _ in range(CLIPS)]


# Modules as anything: parts of them are replaced.
if CHUNKS:
    pipeline: Any = importlib.import_module("serving.pipeline")
    pipeline.DecoderPool = FullSlots
    pipeline.Pipeline.warm_up = classify_forever
service: Any = importlib.import_module("serving.service")
service.open_checked_session = NoSession
GenreClassifier = service.GenreClassifier
