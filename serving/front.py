"""Files in, answers out: decodes here, asks the model, and judges here."""

import asyncio
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import BinaryIO, NamedTuple, Protocol

import anyio
import anyio.to_thread
import numpy as np
import numpy.typing as npt

from audio import CHUNK_SECONDS, AudioError
from serving.admission import Admission, Work
from serving.clip import Clip, SilentClipError
from serving.errors import RequestError
from serving.journal import Record
from serving.metrics import decode_seconds, queue_seconds
from serving.room import Room
from serving.session import ModelInfo
from serving.settings import SAMPLE_CLIP, Settings
from serving.upload import MIB
from serving.verdict import Embedding, Verdict, Wish, decide, embed

FloatArray = npt.NDArray[np.float32]

STATUS_OF_AUDIO_ERROR = {"undecodable": 400, "too_long": 413, "too_short": 422}
# Of each front process. Files decoded at a time: soundfile and soxr release the interpreter, and the event loop must
# keep its turn.
DECODED = 2
PART = 32  # chunks asked for in one call: a minute and a half, most clips as a whole
PART_ALONE = 5  # where nothing else is in hand, so that one core decodes while others judge
PARTS_HELD = 3  # of a file: one being decoded, one that waits, and one at the model
HELD = 1024  # chunks in memory, 260 MiB
ASKED = 2  # batches at the model, or on their way; those of a client that has left meanwhile are judged for nothing
LOOK_AGAIN = 0.05  # seconds
UPLOADS_HELD = 4  # bodies of the largest size, or more of smaller ones
LEAST_UPLOADS_MB = 256


class Output(NamedTuple):
    """What the model says of chunks."""

    log_probs: FloatArray
    """float32 (batch, labels)."""
    embedding: FloatArray
    """float32 (batch, 128)."""
    seconds: float
    """In the session."""


class Model(Protocol):
    """The model service as the front sees it."""

    async def info(self) -> ModelInfo:
        """What the graph says about itself."""

    async def is_ready(self) -> bool:
        """Whether it can be asked."""

    async def run(self, chunks: FloatArray) -> Output:
        """Judge chunks (batch, 66150).

        Raises:
            RequestError: 503 if the model is busy or being restarted.
        """


class Front:
    """Files in, answers out: decodes here, asks the model service, and judges here."""

    def __init__(self, model: Model, settings: Settings) -> None:
        """Hold the model service and the limits."""
        self.model = model
        self.settings = settings
        self.admission = Admission(
            max_wait=min(settings.max_wait, settings.timeout / 2),  # the guess may be wrong by half
            max_bytes=max(UPLOADS_HELD * settings.max_upload_mb, LEAST_UPLOADS_MB) * MIB,
        )
        self._decoded = anyio.CapacityLimiter(DECODED)
        self._held = Room(HELD)
        self._asked = Room(ASKED * settings.max_batch_size)
        self._warming: asyncio.Task[None] | None = None

    def warm_up(self) -> None:
        """Begin to judge the clip that ships, so that the first request finds all loaded and connected."""
        self._warming = asyncio.create_task(self._warm_up())

    async def is_ready(self) -> bool:
        """Whether it has warmed up, and the model can be asked."""
        return (self._warming is None or self._warming.done()) and await self.model.is_ready()

    async def _warm_up(self) -> None:
        while not await self.model.is_ready():  # noqa: ASYNC110 (nothing here tells of another process)
            await asyncio.sleep(LOOK_AGAIN)
        if SAMPLE_CLIP.is_file():
            with suppress(RequestError):  # it serves to warm up, and nothing else
                await self.classify(SAMPLE_CLIP, Wish(), Record("", ""))

    async def classify(self, source: Path | BinaryIO, wish: Wish, record: Record, work: Work | None = None) -> Verdict:
        """The verdict on one file.

        Args:
            source: the file; it is read until this ends.
            wish: how the verdict is wanted.
            record: what its figures are added to.
            work: what was admitted; corrected as it goes.

        Raises:
            RequestError: the file or the model refuses, with the status that says which.
        """
        clip, output = await self._judge(source, record, work)
        return decide(clip, output.log_probs, await self.model.info(), wish)

    async def embed(self, source: Path | BinaryIO, record: Record, work: Work | None = None) -> Embedding:
        """The embedding of one file; takes and raises what classify does."""
        clip, output = await self._judge(source, record, work)
        return embed(clip, output.embedding, await self.model.info())

    async def _judge(self, source: Path | BinaryIO, record: Record, work: Work | None) -> tuple[Clip, Output]:
        work = work or Work(self.settings.max_seconds)
        clip = Clip()
        size = min(PART if self.admission.busy else PART_ALONE, self.settings.max_batch_size)
        batches = clip.read(source, max_seconds=self.settings.max_seconds, size=size)
        try:
            async with self._held.take(PARTS_HELD * size):
                output = await self._ask(batches, work, record)
        finally:
            work.seconds = 0.0
            batches.close()
        record.audio_seconds += clip.duration
        record.chunks += sum(clip.audible)
        return clip, output

    async def _ask(self, batches: Generator[FloatArray], work: Work, record: Record) -> Output:
        """Ask for a part while the next is decoded."""
        answers: list[tuple[Output, float]] = []
        asked: asyncio.Task[tuple[Output, float]] | None = None
        decoding = queueing = 0.0
        try:
            while True:
                begin = perf_counter()
                batch, seconds = await self._decode(batches)
                decoding += seconds
                queueing += perf_counter() - begin - seconds
                if asked:
                    answers.append(await asked)
                if batch is None:
                    break
                asked = asyncio.create_task(self._run(batch, work))
        finally:
            if asked:
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
        outputs, waits = zip(*answers, strict=True)
        log_probs, embedding, runs = zip(*outputs, strict=True)
        queueing += sum(waits)
        decode_seconds().observe(decoding)
        queue_seconds().observe(queueing)
        record.decode_ms += decoding * 1000
        record.session_ms += sum(runs) * 1000
        record.queue_ms += queueing * 1000
        return Output(np.concatenate(log_probs), np.concatenate(embedding), sum(runs))

    async def _run(self, chunks: FloatArray, work: Work) -> tuple[Output, float]:
        """What the model says of a part, and the seconds that passed before and after its session run."""
        begin = perf_counter()
        async with self._asked.take(len(chunks)):
            taken = perf_counter()
            output = await self.model.run(chunks)
            end = perf_counter()
            self.admission.learn(CHUNK_SECONDS * len(chunks), taken, end)
        work.seconds = max(0.0, work.seconds - CHUNK_SECONDS * len(chunks))
        return output, end - begin - output.seconds

    async def _decode(self, batches: Generator[FloatArray]) -> tuple[FloatArray | None, float]:
        """The next part of a clip, None after the last, and the seconds it took to decode."""

        def read() -> tuple[FloatArray | None, float]:
            begin = perf_counter()
            try:
                return next(batches, None), perf_counter() - begin
            except AudioError as error:
                refusal = RequestError(STATUS_OF_AUDIO_ERROR[error.kind], str(error))
            except SilentClipError as error:
                refusal = RequestError(422, str(error))
            # Not from the error: its traceback holds what was decoded for some time to come.
            raise refusal

        reading = asyncio.ensure_future(anyio.to_thread.run_sync(read, limiter=self._decoded))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            # A thread cannot be cancelled, and it still reads the file, which the caller is about to close.
            await asyncio.wait([reading])
            reading.exception()  # which nobody is told
            raise
