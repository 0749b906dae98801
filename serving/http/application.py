"""The service's application: which address is answered by what, and every error as JSON with one sentence.

It stands around BentoML's own application, which would fetch URLs, read any size, count requests by whatever address
they name, and answer in other shapes. BentoML keeps its metrics, its schema and its start and stop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from time import perf_counter
from typing import Any, BinaryIO, TypeVar

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genre_classifier import __version__
from genre_classifier.verdict import ClassifyOptions
from serving.admission import Work, estimate
from serving.errors import ServiceError
from serving.http.about import about
from serving.http.access import Access
from serving.http.access_log import RequestLog, make_logger
from serving.http.device import DEVICE_PATH, device_routes
from serving.http.docs import docs
from serving.http.errors import CLIENT_CLOSED_REQUEST, EXPECTED_ERRORS, RequestError, as_request_error
from serving.http.openapi import describe
from serving.http.pages import FILES_PATH, PAGE_FILES, as_page, file_routes
from serving.http.uploads import MAX_FILES, read_upload
from serving.metrics import have_files, http_request_seconds, http_requests
from serving.pipeline import Figures, Pipeline

logger = logging.getLogger("bentoml.genre")

BENTOML_PATHS = frozenset({"/healthz", "/metrics", "/schema.json"})
PROBES = frozenset({"/livez", "/readyz"})  # an orchestrator asks every few seconds: no line in the log
OUR_PATHS = frozenset({
    "/classify", "/embed", "/model", "/docs.json", *PROBES, "/", FILES_PATH, "/sample.mp3", "/about", "/docs",
    DEVICE_PATH,
})  # fmt: skip
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"  # what all other addresses and methods are called in metrics and log
UNEXPECTED = "Something went wrong here that is not your file's fault: try again, and tell the operator if it stays."
NO_METRICS = RequestError(503, "The folder of the metrics is gone: they come back when the service is started again.")
LIMITS_FOR_CLIENTS = {"max_upload_mb", "max_seconds", "upload_timeout", "timeout", "max_wait", "max_batch_size"}

MODEL_SECONDS = 1.0  # for which what is told of the model may be old

T = TypeVar("T")
Answer = Callable[[BinaryIO, ClassifyOptions, Figures, Work], Awaitable[BaseModel]]


class Application:
    """The outermost ASGI application: our addresses are answered, counted and logged here, the rest are BentoML's."""

    def __init__(self, pipeline: Pipeline, bentoml: ASGIApp) -> None:
        """`bentoml` is BentoML's application, which also runs the service's start and stop."""
        self._bentoml = bentoml
        settings = pipeline.settings
        self._access = Access(hosts=settings.host_list, keys=settings.key_list)
        self._routes = _routes(pipeline)
        self._log = make_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":  # its start and stop
            await self._bentoml(scope, receive, send)
            return
        try:
            self._access.check(scope)
        except RequestError as error:
            await self._answer(_refusal(error), scope, receive, send)
            return
        if scope["path"] not in BENTOML_PATHS:
            await self._answer(self._routes, scope, receive, send)
        elif scope["path"] == "/metrics" and not have_files():
            await self._answer(_refusal(NO_METRICS), scope, receive, send)
        else:
            await self._bentoml(scope, receive, send)

    async def _answer(self, answer: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, count it and log it."""
        path = counted_as(scope["path"])
        method = scope["method"] if scope["method"] in METHODS else OTHER
        log = RequestLog(method, path)
        scope.setdefault("state", {})["log"] = log

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                log.status = message["status"]
            await send(message)

        try:
            await answer(scope, receive, send_and_note)
        finally:
            http_requests().labels(path, method, log.status).inc()
            http_request_seconds().labels(path).observe(log.seconds)
            if path not in PROBES:
                self._log.info(log.line())


def counted_as(path: str) -> str:
    """What an address is called in metrics and log: of a folder of files, the folder."""
    if path in PAGE_FILES:
        return FILES_PATH
    if path.startswith(DEVICE_PATH):
        return DEVICE_PATH
    return path if path in OUR_PATHS else OTHER


def _routes(pipeline: Pipeline) -> Starlette:
    """The ASGI application of all addresses that are not BentoML's."""

    async def model(_: Request) -> Response:
        info = await pipeline.model.info(max_age=MODEL_SECONDS)
        limits = pipeline.settings.model_dump(include=LIMITS_FOR_CLIENTS) | {"max_files": MAX_FILES}
        return JSONResponse({"release": __version__, **info.model_dump(mode="json"), "limits": limits})

    async def livez(_: Request) -> Response:
        if not await pipeline.model.is_alive():
            raise ServiceError("The model's process is gone and does not come back.", "restarting")
        return PlainTextResponse("\n")

    async def readyz(_: Request) -> Response:
        if not await pipeline.is_ready():
            raise ServiceError("The model is not ready: try again in a moment.", "restarting")
        return PlainTextResponse("\n")

    async def classify(request: Request) -> Response:
        return await _answer(request, pipeline, pipeline.classify)

    async def embed(request: Request) -> Response:
        return await _answer(request, pipeline, lambda file, _, figures, work: pipeline.embed(file, figures, work))

    return Starlette(
        routes=[
            *file_routes(),
            *device_routes(),
            *_described(pipeline),
            Route("/model", model),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/classify", classify, methods=["POST"]),
            Route("/embed", embed, methods=["POST"]),
        ],
        exception_handlers={
            **dict.fromkeys(EXPECTED_ERRORS, _refuse),
            HTTPException: _no_route,
            ClientDisconnect: _nobody_listens,
            Exception: _failed,
        },
    )


def _described(pipeline: Pipeline) -> list[Route]:
    """What is described of the service and of its model."""
    descriptions: dict[str, dict[str, Any]] = {}  # by the model's version; to make one takes milliseconds

    async def description() -> dict[str, Any]:
        info = await pipeline.model.info(max_age=MODEL_SECONDS)
        if info.version not in descriptions:
            descriptions[info.version] = describe(info, keys=bool(pipeline.settings.key_list))
        return descriptions[info.version]

    async def docs_as_json(_: Request) -> Response:
        return JSONResponse(await description())

    async def docs_as_page(request: Request) -> Response:
        return as_page(docs(await description(), str(request.base_url)))

    async def about_as_page(_: Request) -> Response:
        figures = None if pipeline.settings.key_list else "model"
        return as_page(about(await pipeline.model.info(max_age=MODEL_SECONDS), figures=figures))

    return [Route("/docs.json", docs_as_json), Route("/docs", docs_as_page), Route("/about", about_as_page)]


async def _answer(request: Request, pipeline: Pipeline, answer: Answer) -> Response:
    """Answer for each file of a request: one by its answer or error, several by a list of them in order."""
    settings = pipeline.settings
    log: RequestLog = request.state.log
    pipeline.admission.check()  # before a byte is read
    labels = len((await pipeline.model.info()).labels)
    begin = perf_counter()
    async with read_upload(
        request,
        pipeline.admission,
        max_mb=settings.max_upload_mb,
        seconds=settings.upload_timeout,
        labels=labels,
    ) as upload:
        seconds = [estimate(file, settings.max_seconds) for file in upload.files]  # some microseconds each
        log.receive_ms = (perf_counter() - begin) * 1000
        log.bytes = upload.bytes
        log.files = len(upload.files)
        with pipeline.admission.admit(seconds) as works:
            deadline = asyncio.get_running_loop().time() + settings.timeout
            answers = [
                _in_time(answer(file, upload.options, log.figures, work), deadline)
                for file, work in zip(upload.files, works, strict=True)
            ]
            whole = answers[0] if len(answers) == 1 else asyncio.gather(*map(_answer_or_error, answers))
            return JSONResponse(await _while_connected(request, whole))


async def _in_time(answer: Awaitable[BaseModel], deadline: float) -> dict[str, Any]:
    """One answer, by a deadline of the event loop's clock.

    Raises:
        ServiceError: late.
    """
    try:
        async with asyncio.timeout_at(deadline):
            return (await answer).model_dump(mode="json")
    except TimeoutError:
        raise ServiceError("The service is too busy to answer in time: try again later.", "late") from None


async def _answer_or_error(answer: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """One of several answers, or its error in its place."""
    try:
        return await answer
    except EXPECTED_ERRORS as error:
        refusal = as_request_error(error)
        return {"error": str(refusal), "status": refusal.status}
    except Exception:
        logger.exception("A file of several failed.")
        return {"error": UNEXPECTED, "status": 500}


async def _while_connected(request: Request, answer: Awaitable[T]) -> T:
    """An answer, unless the client leaves before: then the work for it is dropped.

    Raises:
        ClientDisconnect: it has left.
    """

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    answering, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(leave())
    try:
        await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ClientDisconnect
        return await answering
    finally:
        answering.cancel()
        leaving.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)


def _refuse(_: Request, error: Exception) -> Response:
    return _refusal(as_request_error(error))


def _refusal(error: RequestError) -> Response:
    return JSONResponse({"error": str(error)}, error.status, error.headers)


def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    method = request.method if request.method in METHODS else "such"  # a stranger's may be of any length
    message = {
        HTTPStatus.NOT_FOUND: "There is nothing at this address: the page is at /, and files are sent to /classify.",
        HTTPStatus.METHOD_NOT_ALLOWED: f"This address does not take {method} requests.",
    }.get(HTTPStatus(error.status_code), f"{error.detail}.")
    return JSONResponse({"error": message}, error.status_code, error.headers)


def _nobody_listens(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "The connection was closed before the request was answered."}, CLIENT_CLOSED_REQUEST)


def _failed(_: Request, __: Exception) -> Response:
    # Starlette's outermost layer answers with this and raises the exception again, so that the server logs it.
    return JSONResponse({"error": UNEXPECTED}, 500)
