"""Files in, answers out: decodes here, asks the model, and judges here."""

from pathlib import Path
from time import perf_counter
from typing import BinaryIO, NamedTuple, Protocol

import anyio
import anyio.to_thread
import numpy as np
import numpy.typing as npt

from audio import AudioError
from serving.admission import Admission
from serving.clip import Clip, SilentClipError, read_clip
from serving.errors import RequestError
from serving.journal import Record
from serving.metrics import decode_seconds, queue_seconds
from serving.session import ModelInfo
from serving.settings import Settings
from serving.upload import MIB
from serving.verdict import Embedding, Verdict, Wish, decide, embed

FloatArray = npt.NDArray[np.float32]

STATUS_OF_AUDIO_ERROR = {"undecodable": 400, "too_long": 413, "too_short": 422}
# Of each front process. Files decoded at a time: soundfile and soxr release the interpreter, and the event loop must
# keep its turn.
DECODED = 2
# Files decoded or judged at a time: enough to fill the session's batches, few enough that the longest fit in memory.
JUDGED = 16
UPLOADS_HELD = 4  # bodies of the largest size, or more of smaller ones


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
            max_bytes=UPLOADS_HELD * settings.max_upload_mb * MIB,
        )
        self._decoded = anyio.CapacityLimiter(DECODED)
        self._judged = anyio.CapacityLimiter(JUDGED)

    async def classify(self, source: Path | BinaryIO, wish: Wish, record: Record) -> Verdict:
        """The verdict on one file.

        Raises:
            RequestError: the file or the model refuses, with the status that says which.
        """
        clip, output = await self._judge(source, record)
        return decide(clip, output.log_probs, await self.model.info(), wish)

    async def embed(self, source: Path | BinaryIO, record: Record) -> Embedding:
        """The embedding of one file; raises as classify does."""
        clip, output = await self._judge(source, record)
        return embed(clip, output.embedding, await self.model.info())

    async def _judge(self, source: Path | BinaryIO, record: Record) -> tuple[Clip, Output]:
        begin = perf_counter()
        async with self._judged:
            clip, decoding = await self._read(source)
            record.audio_seconds += clip.duration
            record.chunks += len(clip.chunks)
            # A long clip asks for a batch at a time, so that short ones need not wait for the whole of it.
            size = self.settings.max_batch_size
            parts = [await self.model.run(clip.chunks[at : at + size]) for at in range(0, len(clip.chunks), size)]
        seconds = sum(part.seconds for part in parts)
        queueing = perf_counter() - begin - decoding - seconds
        decode_seconds().observe(decoding)
        queue_seconds().observe(queueing)
        record.decode_ms += decoding * 1000
        record.session_ms += seconds * 1000
        record.queue_ms += queueing * 1000
        return clip, Output(
            np.concatenate([part.log_probs for part in parts]),
            np.concatenate([part.embedding for part in parts]),
            seconds,
        )

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

        return await anyio.to_thread.run_sync(read, limiter=self._decoded)
