"""Files in, answers out: decodes here, asks the model, and judges here."""

import asyncio
from pathlib import Path
from time import perf_counter
from typing import BinaryIO, NamedTuple, Protocol

import anyio
import anyio.to_thread
import numpy as np
import numpy.typing as npt

from audio import CHUNK_SECONDS, AudioError
from serving.admission import Admission, Work
from serving.clip import Clip, SilentClipError, read_clip
from serving.errors import RequestError
from serving.journal import Record
from serving.metrics import decode_seconds, queue_seconds
from serving.room import Room
from serving.session import ModelInfo
from serving.settings import Settings
from serving.upload import MIB
from serving.verdict import Embedding, Verdict, Wish, decide, embed

FloatArray = npt.NDArray[np.float32]

STATUS_OF_AUDIO_ERROR = {"undecodable": 400, "too_long": 413, "too_short": 422}
# Of each front process. Files decoded at a time: soundfile and soxr release the interpreter, and the event loop must
# keep its turn.
DECODED = 2
HELD = 3  # decoded files of the longest kind in memory, or more of shorter ones
ASKED = 2  # batches at the model, or on their way; those of a client that has left meanwhile are judged for nothing
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
        self._held = Room(HELD * settings.max_seconds)
        self._asked = Room(ASKED * settings.max_batch_size)

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
        begin = perf_counter()
        try:
            async with self._held.take(work.seconds):
                clip, decoding = await self._read(source)
                record.audio_seconds += clip.duration
                record.chunks += len(clip.chunks)
                work.seconds = CHUNK_SECONDS * len(clip.chunks)
                output = await self._ask(clip.chunks, work)
        finally:
            work.seconds = 0.0
        queueing = perf_counter() - begin - decoding - output.seconds
        decode_seconds().observe(decoding)
        queue_seconds().observe(queueing)
        record.decode_ms += decoding * 1000
        record.session_ms += output.seconds * 1000
        record.queue_ms += queueing * 1000
        return clip, output

    async def _ask(self, chunks: FloatArray, work: Work) -> Output:
        """Ask for a batch of a long clip at a time, so that short ones need not wait for the whole of it."""
        size = self.settings.max_batch_size
        outputs = []
        for part in (chunks[at : at + size] for at in range(0, len(chunks), size)):
            async with self._asked.take(len(part)):
                begin = perf_counter()
                outputs.append(await self.model.run(part))
                self.admission.learn(CHUNK_SECONDS * len(part), begin, perf_counter())
            work.seconds -= CHUNK_SECONDS * len(part)
        log_probs, embedding, seconds = zip(*outputs, strict=True)
        return Output(np.concatenate(log_probs), np.concatenate(embedding), sum(seconds))

    async def _read(self, source: Path | BinaryIO) -> tuple[Clip, float]:
        """A clip, and the seconds it took to decode and cut it."""

        def read() -> tuple[Clip, float]:
            begin = perf_counter()
            try:
                return read_clip(source, max_seconds=self.settings.max_seconds), perf_counter() - begin
            except AudioError as error:
                refusal = RequestError(STATUS_OF_AUDIO_ERROR[error.kind], str(error))
            except SilentClipError as error:
                refusal = RequestError(422, str(error))
            # Not from the error: its traceback holds all that was decoded, a hundred megabytes, for some time to come.
            raise refusal

        reading = asyncio.ensure_future(anyio.to_thread.run_sync(read, limiter=self._decoded))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            # A thread cannot be cancelled, and it still reads the file, which the caller is about to close.
            await asyncio.wait([reading])
            reading.exception()  # which nobody is told
            raise
