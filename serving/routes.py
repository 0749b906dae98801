"""The HTTP front: what is answered at which address, and every error as JSON with one sentence.

These routes stand before BentoML's own API layer, which would fetch URLs, read any size, and answer in other shapes.
BentoML keeps its health checks, its metrics and its schema.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO, TypeVar

import anyio.to_thread
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import __version__
from serving.admission import Work, estimate
from serving.errors import RETRY_AFTER, RequestError
from serving.front import Front
from serving.journal import CLOSED_BY_CLIENT, Record, make_logger
from serving.openapi import describe
from serving.upload import MAX_FILES, read_upload
from serving.verdict import Wish

logger = logging.getLogger("bentoml.genre")

BENTOML_PATHS = frozenset({"/livez", "/healthz", "/metrics", "/schema.json"})
PAGE = Path(__file__).with_name("page")
PAGE_FILES = {  # by their addresses, with their media types
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
OUR_PATHS = frozenset({"/model", "/classify", "/embed", "/docs.json", "/readyz", *PAGE_FILES})
NO_PATH = "/-"  # what all other addresses are called in metrics and log
# The page needs nothing from another host and makes no markup of text, and the browser shall hold it to that.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "media-src blob:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # a new version's three files come together
}
UNEXPECTED = "Something went wrong here that is not your file's fault: try again, and tell the operator if it stays."
CLIENTS_LIMITS = {"max_upload_mb", "max_seconds", "upload_timeout", "timeout", "max_wait", "max_batch_size"}

T = TypeVar("T")
Judge = Callable[[BinaryIO, Wish, Record, Work], Awaitable[BaseModel]]


class FrontMiddleware:
    """Our routes before BentoML's, which gets only the addresses that are its own; each of ours leaves a line."""

    def __init__(self, app: ASGIApp, routes: ASGIApp) -> None:
        """`app` is BentoML's."""
        self._bentoml = app
        self._routes = routes
        self._journal = make_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http" or scope["path"] in BENTOML_PATHS:
            await self._bentoml(scope, receive, send)
            return
        record = Record(scope["method"], scope["path"])
        scope.setdefault("state", {})["record"] = record

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)

        try:
            await self._routes(scope, receive, send_and_note)
        finally:
            if record.path != "/readyz":  # an orchestrator asks every few seconds
                self._journal.info(record.line())


class KnownPaths:
    """Before everything else: an address that is none loses its name, for BentoML counts requests by address for ever.

    Who asks for a million addresses would fill its metrics and the memory.
    """

    def __init__(self, app: ASGIApp) -> None:
        """`app` is all of BentoML's, with ours in it."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, its address known or nobody's."""
        if scope["type"] in {"http", "websocket"} and scope["path"] not in BENTOML_PATHS | OUR_PATHS:
            scope = {**scope, "path": NO_PATH, "raw_path": NO_PATH.encode()}
        await self._app(scope, receive, send)


def make_routes(front: Front) -> Starlette:
    """The ASGI application of all addresses that are not BentoML's."""

    async def model(_: Request) -> Response:
        info = await front.model.info()
        limits = front.settings.model_dump(include=CLIENTS_LIMITS) | {"max_files": MAX_FILES}
        return JSONResponse({"release": __version__, **info.model_dump(mode="json"), "limits": limits})

    async def readyz(_: Request) -> Response:
        if not await front.is_ready():
            raise RequestError(503, "The model is not ready: try again in a moment.", RETRY_AFTER)
        return PlainTextResponse("\n")

    async def docs(_: Request) -> Response:
        return JSONResponse(describe(await front.model.info()))

    async def classify(request: Request) -> Response:
        return await _answer(request, front, front.classify)

    async def embed(request: Request) -> Response:
        return await _answer(request, front, lambda file, _, record, work: front.embed(file, record, work))

    return Starlette(
        routes=[
            *(Route(path, _page_file(*file)) for path, file in PAGE_FILES.items()),
            Route("/model", model),
            Route("/docs.json", docs),
            Route("/readyz", readyz),
            Route("/classify", classify, methods=["POST"]),
            Route("/embed", embed, methods=["POST"]),
        ],
        exception_handlers={
            RequestError: _refuse,
            HTTPException: _no_route,
            ClientDisconnect: _nobody_listens,
            Exception: _failed,
        },
    )


def _page_file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def give(_: Request) -> Response:
        return Response((PAGE / name).read_bytes(), media_type=media_type, headers=PAGE_HEADERS)

    return give


async def _answer(request: Request, front: Front, judge: Judge) -> Response:
    """Judge each file of a request: one is answered by its answer or error, several by a list of them in order."""
    settings = front.settings
    record: Record = request.state.record
    front.admission.check()  # before a byte is read
    labels = len((await front.model.info()).labels)
    begin = perf_counter()
    async with read_upload(
        request,
        front.admission,
        max_mb=settings.max_upload_mb,
        seconds=settings.upload_timeout,
        labels=labels,
    ) as upload:
        seconds = await anyio.to_thread.run_sync(
            lambda: [estimate(file, settings.max_seconds) for file in upload.files]
        )
        record.receive_ms = (perf_counter() - begin) * 1000
        record.bytes = upload.bytes
        record.files = len(upload.files)
        with front.admission.admit(seconds) as works:
            deadline = asyncio.get_running_loop().time() + settings.timeout
            answers = [
                _in_time(judge(file, upload.wish, record, work), deadline)
                for file, work in zip(upload.files, works, strict=True)
            ]
            answer = answers[0] if len(answers) == 1 else asyncio.gather(*map(_answer_or_error, answers))
            return JSONResponse(await _while_connected(request, answer))


async def _in_time(answer: Awaitable[BaseModel], deadline: float) -> dict[str, Any]:
    """One answer, by a deadline of the event loop's clock.

    Raises:
        RequestError: 503, it is too late.
    """
    try:
        async with asyncio.timeout_at(deadline):
            return (await answer).model_dump(mode="json")
    except TimeoutError:
        sentence = "The service is too busy to answer in time: try again later."
        raise RequestError(503, sentence, RETRY_AFTER) from None


async def _answer_or_error(answer: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """One of several answers, or its error in its place."""
    try:
        return await answer
    except RequestError as error:
        return {"error": str(error), "status": error.status}
    except Exception:
        logger.exception("A file of several failed.")
        return {"error": UNEXPECTED, "status": 500}


async def _while_connected(request: Request, answer: Awaitable[T]) -> T:
    """An answer, unless the client leaves before: then what it asked for is dropped.

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
    assert isinstance(error, RequestError)
    return JSONResponse({"error": str(error)}, error.status, error.headers)


def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = {
        HTTPStatus.NOT_FOUND: "There is nothing at this address: the page is at /, and files are sent to /classify.",
        HTTPStatus.METHOD_NOT_ALLOWED: f"This address does not take {request.method} requests.",
    }.get(HTTPStatus(error.status_code), f"{error.detail}.")
    return JSONResponse({"error": sentence}, error.status_code, error.headers)


def _nobody_listens(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "The connection was closed before the request was answered."}, CLOSED_BY_CLIENT)


def _failed(_: Request, __: Exception) -> Response:
    # Starlette's outermost layer answers with this and raises the exception again, so that the server logs it.
    return JSONResponse({"error": UNEXPECTED}, 500)
