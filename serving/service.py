"""The two BentoML services: GenreModel owns the session and batches across requests, GenreClassifier answers people.

file -> GenreClassifier (several processes: admit, receive, decode, cut) -> chunks of one clip in one call
     -> GenreModel (one process: joins the calls that wait, runs the graph once) -> log-probabilities -> verdict
"""

# mypy: disable-error-code="untyped-decorator, misc"
# BentoML hides the types of its decorators from mypy.

import asyncio
import logging
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from http import HTTPStatus
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import aiohttp
import bentoml
import numpy as np
import numpy.typing as npt
from _bentoml_sdk import Service
from bentoml._internal.marshal.dispatcher import Optimizer
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from bentoml.exceptions import BentoMLException
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

from serving.admission import STOPPING_GRACE
from serving.errors import RETRY_AFTER, RequestError
from serving.front import Front, Output
from serving.journal import Record
from serving.metrics import session_rows, session_seconds, tell_model
from serving.processes import keep_alive, keep_connections, keep_memory, on_stop, wait_for_others
from serving.quiet import mute_libraries
from serving.routes import FrontMiddleware, KnownPaths, make_routes
from serving.session import ModelError, ModelInfo
from serving.settings import read_settings
from serving.startup import check_session, checked_session
from serving.verdict import Wish

FloatArray = npt.NDArray[np.float32]

logger = logging.getLogger("bentoml.genre")
settings = read_settings()
QUIET: Any = {"access": {"enabled": False}}  # the front writes a line of its own for each request
READY_SECONDS = 5
# How BentoML says that a call waited or ran too long.
BUSY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
# What a container is built on. A distribution that BentoML does not know gets no compiler and no git; and a home that
# only root may write to sends the metrics, as all that is written, to /tmp.
CONTAINER = (
    bentoml.images.Image(base_image="python:3.11-slim", python_version="3.11", distro="slim")
    .run("pip install --no-cache-dir --quiet uv")
    .run("cd /home/bentoml && mkdir bentos envs models tmp && chown root .")
)


def trace_requests_alone(app: Any) -> Any:
    """BentoML's application, which makes no span for each piece of a body: of 30 seconds of music there are forty."""
    for middleware in app.user_middleware:
        if middleware.cls is OpenTelemetryMiddleware:
            middleware.kwargs["exclude_spans"] = ["receive", "send"]
    return app


class ModelService(Service[Any]):
    """A service whose calls are joined to those that wait with them, and wait for no others."""

    def to_asgi(self, is_main: bool = True) -> Any:
        """The application of a worker."""
        # By what it guesses from the calls of late, BentoML would hold one back in case others come (after a busy
        # minute for most of a second, though it be alone), and drop those that it thinks cannot be in time. While the
        # session runs, enough gather to fill the next run; and who is admitted is in time.
        for guess in ("wait", "o_a", "o_b"):
            setattr(Optimizer, guess, property(lambda _: 0.0, lambda *_: None))
        keep_memory()
        return trace_requests_alone(super().to_asgi(is_main))


@bentoml.service(
    name="genre_model",
    service_class=ModelService,
    workers=1,  # one process owns the session, so that every request's chunks can share its runs
    traffic={"timeout": settings.timeout},
    logging=QUIET,
    # BentoML's client drops its calls in flight every 100 requests or 300 s by default, and they fail.
    runner_connection={"max_requests": 10**9, "max_age": 1e9},
)
class GenreModel:
    """Owns the session; joins the chunks of the requests that wait."""

    def __init__(self) -> None:
        """Load the graph and run it once: until this is done, /readyz says no."""
        self._session = checked_session(settings, settings.provider)
        tell_model(self._session.info)
        logger.info("Model %s on %s.", self._session.info.version, self._session.info.provider)

    @bentoml.on_startup
    def stop_last(self) -> None:
        """Told to stop, wait for the front: it has answers to give that need the model."""
        on_stop(lambda: wait_for_others(STOPPING_GRACE + settings.timeout + 1))

    @bentoml.on_deployment
    @staticmethod
    def refuse_bad_model() -> None:
        """End the start with one sentence, where a worker that fails would only be started again, for ever."""
        try:
            if settings.provider == "cuda":
                # In a process of its own: the GPU memory of a session here would be held as long as the server runs.
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    pool.submit(check_session, settings).result()
            else:
                checked_session(settings, "cpu")
        except ModelError as error:
            raise BentoMLException(str(error)) from error

    @bentoml.api(
        batchable=True,
        max_batch_size=settings.max_batch_size,
        # Not a batching window but a deadline, after which the call that waited longest is cancelled with 503; who asks
        # has given up by then.
        max_latency_ms=int(settings.timeout * 1000),
    )
    def run(self, chunks: FloatArray) -> FloatArray:
        """Run the graph on the chunks of one or more calls.

        Args:
            chunks: float32 (batch, chunk_samples).

        Returns:
            log_probs, embedding and the seconds in the session side by side, float32 (batch, labels + 128 + 1): a
            batchable API returns one array.
        """
        begin = perf_counter()
        log_probs, embedding = self._session.run(chunks)
        seconds = perf_counter() - begin
        session_rows().observe(len(chunks))
        session_seconds().observe(seconds)
        return np.concatenate([log_probs, embedding, np.full((len(chunks), 1), seconds, np.float32)], axis=1)

    @bentoml.api
    def info(self) -> dict[str, Any]:
        """What the graph says about itself, as ModelInfo."""
        return self._session.info.model_dump()


class RemoteModel:
    """The model service as the front calls it."""

    def __init__(self) -> None:
        """Know nothing about the model until it is asked."""
        self._info: ModelInfo | None = None

    async def info(self) -> ModelInfo:
        """What the graph says about itself; asked once, and again after a failure, when the provider may differ."""
        if self._info is None:
            self._info = ModelInfo.model_validate(await self._call("info"))
        return self._info

    async def run(self, chunks: FloatArray) -> Output:
        """What the model says of chunks, all in one call."""
        labels = len((await self.info()).labels)
        packed: FloatArray = await self._call("run", chunks)
        if not np.isfinite(packed).all():
            raise FloatingPointError("The graph gave a value that is not finite.")
        # Chunks that came into two runs have two times.
        return Output(packed[:, :labels], packed[:, labels:-1], float(np.unique(packed[:, -1]).sum()))

    async def _call(self, name: str, *args: Any) -> Any:
        try:
            try:
                return await self._try(name, *args)
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
                # The model's process has died, and another is on its way, or a connection was closed as it was taken
                # up. Either way nothing was answered, and asking again harms nobody; once, lest a clip kill them all.
                self._info = None
                return await self._try(name, *args)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RequestError(503, "The model is being restarted: try again in a moment.", RETRY_AFTER) from error

    async def is_ready(self) -> bool:
        """Whether it can be asked; no, if it does not say within some seconds."""
        try:
            return bool(await bentoml.get_current_service().model.is_ready(READY_SECONDS))
        except (BentoMLException, aiohttp.ClientError, TimeoutError):
            return False

    async def _try(self, name: str, *args: Any) -> Any:
        try:
            return await getattr(bentoml.get_current_service().model.to_async, name)(*args)
        except BentoMLException as error:
            if error.error_code not in BUSY:
                raise
            raise RequestError(503, "The service is busy: try again later.", RETRY_AFTER) from error


class FrontService(Service[Any]):
    """A service that knows its addresses before BentoML counts them, and keeps its own time."""

    def to_asgi(self, is_main: bool = True) -> Any:
        """The application of a worker, which is about to start its server."""
        mute_libraries()
        keep_connections()
        keep_memory()
        app = trace_requests_alone(super().to_asgi(is_main))
        # BentoML's timer holds some kilobytes of every request until its time is up, long after it was answered.
        app.user_middleware = [each for each in app.user_middleware if each.cls is not TimeoutMiddleware]
        return KnownPaths(app)


front = Front(RemoteModel(), settings)


@bentoml.service(
    name="genre_classifier",
    service_class=FrontService,
    workers=settings.workers,
    logging=QUIET,
    image=CONTAINER,
)
class GenreClassifier:
    """Tells the genre of a piece of music. Over HTTP the routes before BentoML's API layer answer."""

    model = bentoml.depends(GenreModel)

    @bentoml.on_startup
    async def finish_first(self) -> None:
        """Told to stop, answer what has been received, and wait little for what has not."""
        on_stop(partial(asyncio.get_running_loop().call_soon_threadsafe, front.admission.stop))

    @bentoml.on_startup
    async def warm_up(self) -> None:
        """While the server starts."""
        front.warm_up()

    @bentoml.on_deployment
    @staticmethod
    def keep_workers_alive() -> None:
        """Before the workers are started."""
        keep_alive()

    @bentoml.api
    async def classify(
        self, audio: list[Path], top_k: int | None = None, aggregate: Literal["vote", "mean"] = "vote"
    ) -> Any:
        """The genre of one file, or a list for several."""
        answers = [await front.classify(file, Wish(top_k, aggregate), Record("", "/classify")) for file in audio]
        return answers[0] if len(answers) == 1 else answers

    @bentoml.api
    async def embed(self, audio: list[Path]) -> Any:
        """The embedding of one file, or a list for several."""
        answers = [await front.embed(file, Record("", "/embed")) for file in audio]
        return answers[0] if len(answers) == 1 else answers


GenreClassifier.add_asgi_middleware(FrontMiddleware, routes=make_routes(front))  # type: ignore[attr-defined]
