"""Files are judged on all cores, without a server: decoded, and given to the model while they are."""

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from serving.clip import Clip
from serving.parallel import cores, in_order
from serving.session import CPU, GenreSession
from serving.settings import CPU_BATCH, Settings
from serving.verdict import Embedding, Verdict, Wish, decide, embed

FILES_AHEAD = 4  # for each thread: a long file holds up the answers of those after it, and not the work on them
BATCHES_AHEAD = 4  # of a file: its one thread decodes about as fast as one or two judge


class Judgement(NamedTuple):
    """All that the model says of a file."""

    verdict: Verdict
    embedding: Embedding


class Judge:
    """A model and the threads that ask it."""

    def __init__(self, settings: Settings) -> None:
        """Load the model.

        Raises:
            ModelError: it cannot be used.
        """
        # Several runs of the session at a time share out the cores better than threads within one run do.
        threads = settings.threads or 1
        self._session = GenreSession(
            settings.model, provider=settings.provider, threads=threads, gpu_memory_mb=settings.gpu_memory_mb
        )
        self.info = self._session.info
        self._batch = min(settings.max_batch_size, CPU_BATCH) if self.info.provider == CPU else settings.max_batch_size
        # What a service must refuse is one's own business here, unless it is asked for.
        self._longest = settings.max_seconds if "max_seconds" in settings.model_fields_set else math.inf
        self._workers = max(1, cores() // threads)
        # Not left to the end of a block, which would wait for the files under way when it is interrupted.
        self._readers, self._runners = ThreadPoolExecutor(self._workers), ThreadPoolExecutor(self._workers)

    def judge_all(self, files: Iterable[Path], wish: Wish) -> Iterator[Future[Judgement]]:
        """What is said of each file, in their order; a future raises what `judge` does."""
        return in_order(self._readers, lambda file: self.judge(file, wish), files, FILES_AHEAD * self._workers)

    def judge(self, file: Path, wish: Wish) -> Judgement:
        """What is said of a file, which is decoded here while the model is asked for what has been.

        Raises:
            AudioError, SilentClipError: it cannot be judged.
        """
        clip = Clip()
        batches = clip.read(file, max_seconds=self._longest, size=self._batch)
        runs = [run.result() for run in in_order(self._runners, self._session.run, batches, BATCHES_AHEAD)]
        log_probs, embedding = (np.concatenate(outputs) for outputs in zip(*runs, strict=True))
        return Judgement(decide(clip, log_probs, self.info, wish), embed(clip, embedding, self.info))
