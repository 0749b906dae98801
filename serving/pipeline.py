"""One upload's way: decode here, run the graph in the model service, decide here."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import BinaryIO

from genre_classifier.audio import CHUNK_SECONDS, AudioError
from genre_classifier.audio.chunk_memory import SharedChunk, release
from genre_classifier.audio.decoder_pool import DecoderPool
from genre_classifier.clip import Clip
from genre_classifier.cores import cores
from genre_classifier.models import SAMPLE_CLIP
from genre_classifier.outputs import Outputs
from genre_classifier.session import ModelInfo
from genre_classifier.verdict import ClassifyOptions, Embedding, Verdict, decide, embed
from serving.admission import Admission, Work
from serving.errors import ServiceError
from serving.metrics import decode_seconds, queue_seconds
from serving.model_client import REPLACED, Answer, ModelClient
from serving.settings import ServiceSettings
from serving.weighted_semaphore import WeightedSemaphore

MIB = 2**20

# All of each front process.
CHUNKS_PER_CALL = 32  # a minute and a half, most clips as a whole
CHUNKS_PER_CALL_ALONE = 5  # where nothing else is in hand, so that one core decodes while others run the graph
CHUNKS_IN_MEMORY = 128  # of each decoder, 32 MiB: those that are decoded, wait, or are at the model; then it waits
MAX_BATCHES_IN_FLIGHT = 2  # at the model or on their way; what a client that has left sent is run for nothing
POLL_SECONDS = 0.05
MAX_UPLOADS_IN_MEMORY = 4  # bodies of the largest size, or more of smaller ones
MIN_UPLOADS_MB = 256


@dataclass
class Figures:
    """What answering a request took; of several files, the sum, whether or not they were under way together."""

    audio_seconds: float = 0.0
    """Decoded."""
    chunks: int = 0
    """Classified: the audible ones."""
    decode_ms: float = 0.0
    session_ms: float = 0.0
    """Of the session runs that its chunks were in, together with those of others."""
    queue_ms: float = 0.0
    """Neither decoding nor in the session: waiting for a turn, for the model, and on the way there and back."""


class Pipeline:
    """Files in, answers out."""

    def __init__(self, model: ModelClient, settings: ServiceSettings) -> None:
        """Hold the model service and the limits."""
        self.model = model
        self.settings = settings
        self.admission = Admission(
            max_wait=min(settings.max_wait, settings.timeout / 2),  # the estimate may be wrong by half
            max_bytes=max(MAX_UPLOADS_IN_MEMORY * settings.max_upload_mb, MIN_UPLOADS_MB) * MIB,
        )
        decoders = max(1, cores() // settings.workers)  # as many as cores for the whole service
        self._pool = DecoderPool(decoders, CHUNKS_IN_MEMORY)
        self._decoders = asyncio.Semaphore(decoders)
        self._decoder_threads = ThreadPoolExecutor(decoders, thread_name_prefix="genre-decoder")
        self._chunks_in_flight = WeightedSemaphore(MAX_BATCHES_IN_FLIGHT * settings.max_batch_size)
        self._warming: asyncio.Task[None] | None = None

    def warm_up(self) -> None:
        """Start to classify the clip that ships, so that the first request finds all loaded and connected."""
        self._pool.start()
        self._warming = asyncio.create_task(self._warm_up())

    async def is_ready(self) -> bool:
        """Whether it has warmed up, and the model can be asked."""
        return (self._warming is None or self._warming.done()) and await self.model.is_ready()

    async def classify(
        self, source: Path | BinaryIO, options: ClassifyOptions, figures: Figures, work: Work | None = None
    ) -> Verdict:
        """Classify one file.

        Args:
            source: the file; it is read until this returns.
            options: how the verdict is wanted.
            figures: what this took is added to them.
            work: what was admitted; corrected as it goes.

        Raises:
            AudioError: the file cannot be classified.
            ServiceError: the model cannot answer.
        """
        clip, outputs, info = await self._analyse(source, figures, work)
        try:
            return decide(clip, outputs, info, options)
        except ValueError as error:  # the options fitted the model that was there before
            raise ServiceError(REPLACED, "restarting") from error

    async def embed(self, source: Path | BinaryIO, figures: Figures, work: Work | None = None) -> Embedding:
        """Embed one file; takes and raises what `classify` does."""
        clip, outputs, info = await self._analyse(source, figures, work)
        return embed(clip, outputs, info)

    async def _analyse(
        self, source: Path | BinaryIO, figures: Figures, work: Work | None
    ) -> tuple[Clip, Outputs, ModelInfo]:
        work = work or Work(self.settings.max_seconds)
        clip = Clip()
        size = CHUNKS_PER_CALL if self.admission.is_busy else CHUNKS_PER_CALL_ALONE
        size = min(size, self.settings.max_batch_size)
        abandoned = Event()
        seconds = self.settings.max_seconds

        def opened(declared: float) -> None:
            work.seconds = min(declared, seconds)

        chunks = self._pool.read_shared(
            clip, source, max_seconds=seconds, abandoned=abandoned, opened=opened, group=size
        )
        taken: list[SharedChunk] = []
        try:
            outputs, info = await self._ask(_noted(chunks, taken), size, work, figures, abandoned)
        finally:
            work.seconds = 0.0
            chunks.close()
            release(taken)
        figures.audio_seconds += clip.duration
        figures.chunks += sum(clip.audible)
        return clip, outputs, info

    async def _ask(
        self, chunks: Iterator[SharedChunk], size: int, work: Work, figures: Figures, abandoned: Event
    ) -> tuple[Outputs, ModelInfo]:
        """Run the graph on some chunks while the next are decoded."""
        answers: list[tuple[Answer, float]] = []
        asked: asyncio.Task[tuple[Answer, float]] | None = None
        decoding = queueing = 0.0
        decoder = AsyncExitStack()
        try:
            begin = perf_counter()
            await decoder.enter_async_context(self._decoders)
            queueing += perf_counter() - begin
            more = True
            while more:
                begin = perf_counter()
                batch, seconds = await self._decode(chunks, size, abandoned)
                decoding += seconds
                queueing += perf_counter() - begin - seconds
                more = len(batch) == size
                if not more:
                    await decoder.aclose()
                if asked:
                    answers.append(await asked)
                asked = asyncio.create_task(self._run(batch, work)) if batch else None
            if asked:
                answers.append(await asked)
        finally:
            await decoder.aclose()
            if asked:
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
        queueing += sum(waited for _, waited in answers)
        decode_seconds().observe(decoding)
        queue_seconds().observe(queueing)
        figures.decode_ms += decoding * 1000
        figures.session_ms += sum(answer.seconds for answer, _ in answers) * 1000
        figures.queue_ms += queueing * 1000
        info = answers[0][0].info
        if any(answer.info != info for answer, _ in answers):
            raise ServiceError(REPLACED, "restarting")
        return Outputs.join([answer.outputs for answer, _ in answers]), info

    async def _run(self, chunks: list[SharedChunk], work: Work) -> tuple[Answer, float]:
        """The answer for some chunks, which are released, and the seconds before and after the session."""
        begin = perf_counter()
        async with self._chunks_in_flight.acquire(len(chunks)):
            taken = perf_counter()
            answer = await self.model.run(chunks)
            end = perf_counter()
            self.admission.learn(CHUNK_SECONDS * len(chunks), taken, end)
        release(chunks)
        work.seconds = max(0.0, work.seconds - CHUNK_SECONDS * len(chunks))
        return answer, end - begin - answer.seconds

    async def _decode(
        self, chunks: Iterator[SharedChunk], size: int, abandoned: Event
    ) -> tuple[list[SharedChunk], float]:
        """The next chunks of a clip, fewer than size where it ends; and the seconds this took."""

        def read() -> tuple[list[SharedChunk], float]:
            begin = perf_counter()
            try:
                return list(islice(chunks, size)), perf_counter() - begin
            except AudioError as error:
                refusal = AudioError(str(error), error.kind)
            # A new error: the first one's traceback keeps what was decoded in memory.
            raise refusal

        reading = asyncio.get_running_loop().run_in_executor(self._decoder_threads, read)
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            # A thread cannot be cancelled, and it still reads the file, which the caller is about to close.
            abandoned.set()
            await asyncio.wait([reading])
            reading.exception()  # nobody is told
            raise

    async def _warm_up(self) -> None:
        while not await self.model.is_ready():  # noqa: ASYNC110 (nothing here tells of another process)
            await asyncio.sleep(POLL_SECONDS)
        if SAMPLE_CLIP.is_file():
            with suppress(AudioError, ServiceError):  # the answer does not matter
                await self.classify(SAMPLE_CLIP, ClassifyOptions(), Figures())


def _noted(chunks: Iterator[SharedChunk], taken: list[SharedChunk]) -> Iterator[SharedChunk]:
    """Note what is taken, so that it can be released whatever happens."""
    for chunk in chunks:
        taken.append(chunk)
        yield chunk
