"""The two BentoML services: GenreModel owns the session and batches across requests, GenreClassifier answers people.

upload -> GenreClassifier (several processes): http/application.py receives it, pipeline.py decodes and cuts it
       -> GenreModel (one process): is told where the chunks lie, as chunk_exchange.py has it, joins those of all calls
          that wait, and runs the graph once
       -> GenreClassifier: verdict
"""

# mypy: disable-error-code="untyped-decorator, misc"
# BentoML hides the types of its decorators from mypy.

import asyncio
import logging
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import bentoml
import numpy as np
from _bentoml_sdk import Service
from bentoml.exceptions import BentoMLException
from bentoml.validators import ContentType

from genre_classifier.audio import CHUNK_SAMPLES
from genre_classifier.outputs import FloatArray
from genre_classifier.session import ModelError
from genre_classifier.settings import read_settings
from genre_classifier.verdict import Aggregate, ClassifyOptions
from serving import bentoml_patches
from serving.admission import STOPPING_GRACE_SECONDS
from serving.chunk_exchange import Places, Receiver
from serving.http.application import Application
from serving.http.connections import Connections, limited
from serving.metrics import forget_dead_processes, make_files, report_model, session_rows, session_seconds
from serving.model_client import NOT_THERE, RemoteModel, pack_result, stamp
from serving.pipeline import Figures, Pipeline
from serving.run_folder import own_folder, run_folder
from serving.settings import ServiceSettings
from serving.warmup import open_checked_session

logger = logging.getLogger("bentoml.genre")
settings = read_settings(ServiceSettings)
GRACE_SECONDS = 5.0  # that the model's process gives the front ones, to be the first to give up a call
pipeline = Pipeline(RemoteModel(), settings)
bentoml_patches.serve_in(own_folder)

NO_ACCESS_LOG: Any = {"access": {"enabled": False}}  # http/access_log.py writes one line a request
# By default glibc gives freed memory back, and each page must be mapped and cleared anew: 2 of the 60 ms of a clip of
# 30 seconds. What is larger than 32 MiB has a mapping of its own, which goes when it is freed.
KEEP_MEMORY = [
    {"name": "MALLOC_MMAP_THRESHOLD_", "value": str(32 * 2**20)},
    {"name": "MALLOC_TRIM_THRESHOLD_", "value": str(128 * 2**20)},
]
# Without a media type, BentoML would work one out from the schema for each answer, which takes 0.3 ms.
PackedResult = Annotated[FloatArray, ContentType("application/vnd.bentoml+pickle")]
# A distribution that BentoML does not know gets no compiler and no git; and a home that only root may write to sends
# all that is written, the metrics too, to /tmp.
CONTAINER = bentoml.images.Image(base_image="python:3.11-slim", python_version="3.11", distro="slim").run(
    "cd /home/bentoml && mkdir bentos envs models tmp && chown root ."
)


class ModelService(Service[Any]):
    """A service whose calls are joined to those that wait with them, and wait for no others."""

    def to_asgi(self, is_main: bool = True) -> Any:
        """Make the application of a worker."""
        bentoml_patches.end_with_arbiter()
        bentoml_patches.disable_batch_delay()
        make_files()
        return super().to_asgi(is_main)


@bentoml.service(
    name="genre_model",
    service_class=ModelService,
    workers=1,  # one process owns the session, so that every request's chunks can share its runs
    traffic={"timeout": settings.timeout},
    logging=NO_ACCESS_LOG,
    tracing={"excluded_urls": "/run"},  # nobody looks at spans of calls within the service
    envs=KEEP_MEMORY,
    # BentoML's client drops its calls in flight every 100 requests or 300 s by default, and they fail.
    runner_connection={"max_requests": 10**9, "max_age": 1e9},
)
class GenreModel:
    """Owns the session; joins the chunks of the requests that wait."""

    def __init__(self) -> None:
        """Load the graph and run it once: until this is done, /readyz says no."""
        self._session = open_checked_session(settings, settings.provider)
        self._stamp = stamp(self._session.info)
        # For every run: BentoML's dispatcher begins none before the last has ended.
        self._input = np.empty((settings.max_batch_size, CHUNK_SAMPLES), np.float32)
        self._chunks = Receiver(run_folder())
        vars(self)["run"] = self.run  # BentoML would make this function anew for each call, which takes 0.1 ms
        forget_dead_processes()
        report_model(self._session.info)
        logger.info("Model %s on %s.", self._session.info.version, self._session.info.provider)

    @bentoml.on_startup
    def stop_last(self) -> None:
        """When told to stop, wait for the front, which needs the model for what it still has to answer."""
        seconds = STOPPING_GRACE_SECONDS + settings.timeout + 1
        bentoml_patches.before_stop(lambda: bentoml_patches.wait_for_siblings(seconds))

    @bentoml.on_deployment
    @staticmethod
    def refuse_bad_model() -> None:
        """End the start with one sentence, where a worker that fails would only be restarted for ever."""
        try:
            if settings.provider == "cuda":
                # In a process of its own: a session here would hold GPU memory as long as the server runs.
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    pool.submit(_check_cuda).result()
            else:
                open_checked_session(settings, "cpu")
        except ModelError as error:
            raise BentoMLException(str(error)) from error

    @bentoml.api(
        batchable=True,
        max_batch_size=settings.max_batch_size,
        # Not a batching window but a deadline, after which the call that waited longest is cancelled with an error in
        # the log; its client has given up by then, and must not be beaten to it.
        max_latency_ms=int((settings.timeout + GRACE_SECONDS) * 1000),
    )
    def run(self, places: Places) -> PackedResult:
        """Run the graph on the chunks of one or more calls.

        Args:
            places: of chunks, int64 (batch, 3), as chunk_exchange.py has them.

        Returns:
            The outputs, the seconds in the session and the model's stamp side by side, as `pack_result` has them. In
            the rows of chunks that were not there, NOT_THERE stands for the stamp.
        """
        there = self._chunks.gather(places, self._input)
        begin = perf_counter()
        outputs = self._session.run(self._input[: len(places)])
        seconds = perf_counter() - begin
        session_rows().observe(len(places))
        session_seconds().observe(seconds)
        packed = pack_result(outputs, seconds, self._stamp)
        packed[~there, -1] = NOT_THERE
        return packed

    @bentoml.api
    def info(self) -> dict[str, Any]:
        """What the graph says about itself, as ModelInfo."""
        return self._session.info.model_dump()


def _check_cuda() -> None:
    """Check the model in another process, to which a session cannot be handed."""
    open_checked_session(settings, "cuda")


class ClassifierService(Service[Any]):
    """A service whose outermost application is our own."""

    def to_asgi(self, is_main: bool = True) -> Any:
        """Make the application of a worker, which is about to start its server."""
        bentoml_patches.end_with_arbiter()
        bentoml_patches.extend_keep_alive()
        bentoml_patches.limit_connections(partial(limited, connections=Connections(settings.max_connections)))
        make_files()
        return Application(pipeline, super().to_asgi(is_main))


@bentoml.service(
    name="genre_classifier",
    service_class=ClassifierService,
    workers=settings.workers,
    logging=NO_ACCESS_LOG,
    envs=KEEP_MEMORY,
    image=CONTAINER,
)
class GenreClassifier:
    """Classifies music by genre. Over HTTP, http/application.py answers and calls the same pipeline."""

    model = bentoml.depends(GenreModel)

    @bentoml.on_deployment
    @staticmethod
    def watch_workers() -> None:
        """Set up the arbiter, before it starts the workers."""
        bentoml_patches.respawn_workers()
        bentoml_patches.keep_sockets_until_stopped()
        bentoml_patches.use_monotonic_time()
        bentoml_patches.ignore_hangup()

    @bentoml.on_startup
    async def stop_first(self) -> None:
        """When told to stop, answer what has been received, and wait little for what has not."""
        stop_uploads = partial(asyncio.get_running_loop().call_soon_threadsafe, pipeline.admission.stop)
        bentoml_patches.before_stop(stop_uploads)

    @bentoml.on_startup
    async def warm_up(self) -> None:
        """Warm up while the server starts."""
        forget_dead_processes()
        pipeline.warm_up()

    @bentoml.api
    async def classify(self, audio: list[Path], top_k: int | None = None, aggregate: Aggregate = "vote") -> Any:
        """Classify one file, or several into a list."""
        options = ClassifyOptions(top_k, aggregate)
        answers = [await pipeline.classify(file, options, Figures()) for file in audio]
        return answers[0] if len(answers) == 1 else answers

    @bentoml.api
    async def embed(self, audio: list[Path]) -> Any:
        """Embed one file, or several into a list."""
        answers = [await pipeline.embed(file, Figures()) for file in audio]
        return answers[0] if len(answers) == 1 else answers
