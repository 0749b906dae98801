"""Classifier: one clip, or many files on all cores, to verdicts."""

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from threading import Event
from time import monotonic
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from genre_classifier.audio import AudioError, Source
from genre_classifier.audio.decoder_pool import SUPPORTED, DecoderPool
from genre_classifier.batching import CPU_BATCH, GPU_BATCH, ChunkBatcher, ClipRows
from genre_classifier.clip import Clip
from genre_classifier.cores import cores
from genre_classifier.models import DEFAULT_MODEL, find_model
from genre_classifier.outputs import Outputs
from genre_classifier.session import CPU, GenreSession, ModelInfo, Provider
from genre_classifier.verdict import Aggregate, ClassifyOptions, Embedding, Verdict, decide, embed

DEFAULT_OPTIONS = ClassifyOptions()
GPU_RUNNERS = 2  # one run is prepared while the GPU computes another

File = TypeVar("File", bound=str | os.PathLike[str] | bytes)


class Analysis(NamedTuple):
    """All that the model says of a clip."""

    verdict: Verdict
    embedding: Embedding


class Classifier:
    """A model that classifies music. Safe to use from several threads; a context manager.

        with Classifier() as classifier:
            verdict = classifier.classify("song.mp3")

    Chunks of all clips under way share the session's runs. Reads no environment, and logs nothing unless logging is set
    up for "genre_classifier".
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        provider: Provider = "auto",
        jobs: int | None = None,
        threads: int = 0,
        batch_size: int | None = None,
        gpu_memory_mb: int | None = None,
        cuda_graph: bool = False,
        max_seconds: float | None = None,
        file_seconds: float | None = None,
        isolate: bool = False,
    ) -> None:
        """Load a model.

        Args:
            model: "genre" or "cnn", which ship, or the path of an ONNX file.
            provider: "auto" takes CUDA where it works, else the CPU; "cuda" and "cpu" insist.
            jobs: cores to use, for decoding and for runs; all that the process may use if None.
            threads: CPU threads of one run; 0 gives each run one thread and runs as many at a time as there are cores.
            batch_size: most chunks in one run; by default 64 on a GPU and 16 on a CPU.
            gpu_memory_mb: MiB that the session may take of a GPU; by default what the largest batch needs.
            cuda_graph: on a GPU, replay recorded runs of a few batch sizes, where model and ONNX Runtime allow it.
            max_seconds: the longest audio that is accepted; no limit if None.
            file_seconds: the longest that decoding one file may take, by the clock; no limit if None. It holds where
                files are decoded in processes that can be ended: see `isolate`.
            isolate: decode single files too in a process that can be ended, as `classify_files` does where the system
                allows it: for files from strangers.

        Raises:
            genre_classifier.session.ModelError: the model cannot be used; the message is one sentence.
        """
        # Several runs at a time share out the cores better than threads within one run do.
        threads = threads or 1
        self._readers = max(1, (jobs or cores()) // threads)
        self._isolate = isolate
        self._pool = DecoderPool(self._readers) if SUPPORTED else None
        if self._pool and isolate:
            self._pool.start()  # they get ready while the model loads
        try:
            session = GenreSession(
                find_model(model),
                provider=provider,
                threads=threads,
                largest_batch=batch_size or GPU_BATCH,
                gpu_memory_mb=gpu_memory_mb,
                cuda_graph=cuda_graph,
            )
        except BaseException:
            self._close_pool()
            raise
        self.info: ModelInfo = session.info
        """What the model says of itself: labels, version, metrics, the provider in use."""
        on_cpu = session.info.provider == CPU
        self.batch_size = batch_size or (CPU_BATCH if on_cpu else GPU_BATCH)
        """Most chunks in one run."""
        self._max_seconds = max_seconds
        self._file_seconds = file_seconds
        runners = self._readers if on_cpu else GPU_RUNNERS
        self._batcher = ChunkBatcher(session.run, batch_size=self.batch_size, runners=runners)

    def classify(
        self,
        source: Source,
        sample_rate: float | None = None,
        *,
        aggregate: Aggregate = "vote",
        top_k: int | None = None,
    ) -> Verdict:
        """Classify one clip.

        Args:
            source: a path, a file's bytes, a binary file object, or a waveform: floats (samples,) or
                (channels, samples), as librosa gives it.
            sample_rate: of a waveform, 4 000 to 768 000 Hz.
            aggregate: "vote" picks the genre that most chunks chose, "mean" the most probable one.
            top_k: genres to list in the probabilities, 1 to the number of labels; all if None.

        Raises:
            AudioError: the clip cannot be classified; the message is one sentence and `kind` says which.
            ValueError: an option does not fit the model.
        """
        options = ClassifyOptions(top_k, aggregate)
        options.check(len(self.info.labels))
        return self.analyse(source, sample_rate, options=options).verdict

    def embed(self, source: Source, sample_rate: float | None = None) -> NDArray[np.float32]:
        """Describe one clip by numbers, float32 (width,): the mean over its audible chunks of the graph's embedding.

        Takes and raises what `classify` does.
        """
        return np.array(self.analyse(source, sample_rate).embedding.embedding, np.float32)

    def classify_files(
        self, files: Iterable[File], *, aggregate: Aggregate = "vote", top_k: int | None = None
    ) -> Iterator[tuple[File, Verdict | AudioError]]:
        """Classify many files, in their order, on all cores and in constant memory.

        Args:
            files: paths, or files' bytes; taken from the iterable as needed.
            aggregate: as in `classify`.
            top_k: as in `classify`.

        Yields:
            Each file, and its verdict or, where it cannot be classified, the AudioError.

        Raises:
            ValueError: an option does not fit the model.
        """
        options = ClassifyOptions(top_k, aggregate)
        options.check(len(self.info.labels))
        results = self.analyse_files(files, options)
        return ((file, each if isinstance(each, AudioError) else each.verdict) for file, each, _ in results)

    def analyse(
        self, source: Source, sample_rate: float | None = None, *, options: ClassifyOptions = DEFAULT_OPTIONS
    ) -> Analysis:
        """Classify and embed one clip; takes and raises what `classify` does."""
        clip, rows = Clip(), self._batcher.open()
        self._read(rows, self._chunks(clip, source, sample_rate, isolate=self._isolate), Event())
        return self._analysis(clip, rows.outputs.result(), options)

    def analyse_files(
        self, files: Iterable[File], options: ClassifyOptions = DEFAULT_OPTIONS
    ) -> Iterator[tuple[File, Analysis | AudioError, float]]:
        """Classify and embed many files; as `classify_files`, and how many seconds each file took by the clock."""
        # Files are taken so many at a time that clips of one chunk fill a batch, and so early that readers stay at work
        # while a long file holds up the answers after it.
        fewest = 2 * self.batch_size + self._readers
        most = fewest + self.batch_size
        rest = iter(files)
        abandoned = Event()
        pool = ThreadPoolExecutor(self._readers, thread_name_prefix="genre-reader")
        begun: deque[tuple[File, Clip, ClipRows]] = deque()
        try:
            while True:
                if len(begun) <= fewest:
                    with self._batcher.expect():
                        for file in islice(rest, most - len(begun)):
                            clip, rows = Clip(), self._batcher.open()
                            begun.append((file, clip, rows))
                            chunks = self._chunks(clip, file, None, isolate=True, abandoned=abandoned)
                            pool.submit(self._read, rows, chunks, abandoned)
                if not begun:
                    return
                yield self._result(*begun.popleft(), options)
        finally:  # also where nobody asks for the rest
            abandoned.set()
            pool.shutdown(wait=False)

    def close(self) -> None:
        """End the session's threads, and wait for them; the classifier cannot be used afterwards."""
        self._batcher.close()
        self._close_pool()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _chunks(
        self,
        clip: Clip,
        source: Source,
        sample_rate: float | None,
        *,
        isolate: bool,
        abandoned: Event | None = None,
    ) -> Generator[NDArray[np.float32]]:
        """The audible chunks of a clip, decoded here or in a process of the pool."""
        if self._pool and isolate and not isinstance(source, np.ndarray):
            return self._pool.read(
                clip, source, max_seconds=self._max_seconds, file_seconds=self._file_seconds, abandoned=abandoned
            )
        return clip.read(source, sample_rate=sample_rate, max_seconds=self._max_seconds)

    def _read(self, rows: ClipRows, chunks: Generator[NDArray[np.float32]], abandoned: Event) -> None:
        """Decode a clip into the batches; what goes wrong is kept for whoever asks for its outputs."""
        rows.begun = monotonic()
        try:
            with closing(chunks):
                while not abandoned.is_set() and (chunk := next(chunks, None)) is not None:
                    rows.add(chunk)
        except BaseException as error:  # noqa: BLE001
            rows.finish(error)
        else:
            rows.finish(CancelledError() if abandoned.is_set() else None)

    def _close_pool(self) -> None:
        if self._pool:
            self._pool.close()

    def _result(
        self, file: File, clip: Clip, rows: ClipRows, options: ClassifyOptions
    ) -> tuple[File, Analysis | AudioError, float]:
        try:
            result: Analysis | AudioError = self._analysis(clip, rows.outputs.result(), options)
        except AudioError as error:
            result = error
        return file, result, rows.ended - rows.begun

    def _analysis(self, clip: Clip, outputs: Outputs, options: ClassifyOptions) -> Analysis:
        return Analysis(decide(clip, outputs, self.info, options), embed(clip, outputs, self.info))
