"""The HTTP front: what is answered at which address, and every error as JSON with one sentence.

These routes stand before BentoML's own API layer, which would fetch URLs, read any size, and answer in other shapes.
BentoML keeps its health checks, its metrics and its schema.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import anyio
import anyio.to_thread
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from audio import AudioError
from serving.clip import Clip, SilentClipError, read_clip
from serving.session import ModelInfo
from serving.settings import Settings
from serving.upload import RequestError, read_upload
from serving.verdict import Embedding, Verdict, Wish, decide, embed

FloatArray = npt.NDArray[np.float32]

logger = logging.getLogger("bentoml.genre")

BENTOML_PATHS = frozenset({"/livez", "/readyz", "/healthz", "/metrics", "/schema.json", "/docs.json"})
PAGE = Path(__file__).with_name("page.html")
# The page needs nothing from another host, and the browser shall hold it to that.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; media-src blob:; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
STATUS_OF_AUDIO_ERROR = {"undecodable": 400, "too_long": 413, "too_short": 422}
UNEXPECTED = "Something went wrong here that is not your file's fault: try again, and tell the operator if it stays."
RETRY_AFTER = {"Retry-After": "1"}


class Model(Protocol):
    """The model service as the front sees it."""

    async def info(self) -> ModelInfo:
        """What the graph says about itself."""

    async def run(self, chunks: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log-probabilities (batch, labels) and embedding (batch, 128) of chunks (batch, 66150).

        Raises:
            RequestError: 503 if the model is busy or being restarted.
        """


class Front:
    """Files in, answers out: decodes here, asks the model service, and judges here."""

    def __init__(self, model: Model, settings: Settings) -> None:
        """Hold the model service and the limits."""
        self.model = model
        self.settings = settings
        # Two decode at a time: soundfile and soxr release the interpreter, the event loop must keep its turn.
        self._decoders = anyio.CapacityLimiter(2)

    async def classify(self, source: Path | BinaryIO, wish: Wish) -> Verdict:
        """The verdict on one file.

        Raises:
            RequestError: the file or the model refuses, with the status that says which.
        """
        clip = await self._read(source)
        log_probs, _ = await self.model.run(clip.chunks)
        return decide(clip, log_probs, await self.model.info(), wish)

    async def embed(self, source: Path | BinaryIO) -> Embedding:
        """The embedding of one file; raises as classify does."""
        clip = await self._read(source)
        _, embedding = await self.model.run(clip.chunks)
        return embed(clip, embedding, await self.model.info())

    async def _read(self, source: Path | BinaryIO) -> Clip:
        read = partial(read_clip, source, max_seconds=self.settings.max_seconds)
        try:
            return await anyio.to_thread.run_sync(read, limiter=self._decoders)
        except AudioError as error:
            raise RequestError(STATUS_OF_AUDIO_ERROR[error.kind], str(error)) from error
        except SilentClipError as error:
            raise RequestError(422, str(error)) from error


class FrontMiddleware:
    """Our routes before BentoML's: it gets only the addresses that are its own."""

    def __init__(self, app: ASGIApp, routes: ASGIApp) -> None:
        """`app` is BentoML's."""
        self._bentoml = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        ours = scope["type"] == "http" and scope["path"] not in BENTOML_PATHS
        await (self._routes if ours else self._bentoml)(scope, receive, send)


def make_routes(front: Front) -> Starlette:
    """The ASGI application of all addresses that are not BentoML's."""

    async def page(_: Request) -> Response:
        return HTMLResponse(PAGE.read_bytes(), headers=PAGE_HEADERS)

    async def model(_: Request) -> Response:
        info = await front.model.info()
        limits = {"max_upload_mb": front.settings.max_upload_mb, "max_seconds": front.settings.max_seconds}
        return JSONResponse({**info.model_dump(mode="json"), "limits": limits})

    async def classify(request: Request) -> Response:
        return await _answer(request, front, front.classify)

    async def embed(request: Request) -> Response:
        return await _answer(request, front, lambda file, _: front.embed(file))

    return Starlette(
        routes=[
            Route("/", page),
            Route("/model", model),
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


async def _answer(request: Request, front: Front, judge: Callable[[BinaryIO, Wish], Awaitable[BaseModel]]) -> Response:
    """Judge each file of a request: one is answered by its answer or error, several by a list of them in order."""
    settings = front.settings
    labels = len((await front.model.info()).labels)
    async with read_upload(
        request, max_mb=settings.max_upload_mb, seconds=settings.upload_timeout, labels=labels
    ) as upload:
        answers = [judge(file, upload.wish) for file in upload.files]
        try:
            async with asyncio.timeout(settings.timeout):
                if len(answers) == 1:
                    return JSONResponse((await answers[0]).model_dump(mode="json"))
                return JSONResponse(await asyncio.gather(*(_answer_or_error(answer) for answer in answers)))
        except TimeoutError:
            sentence = "The service is too busy to answer in time: try again later."
            raise RequestError(503, sentence, RETRY_AFTER) from None


async def _answer_or_error(answer: Awaitable[BaseModel]) -> dict[str, Any]:
    """One of several answers, or its error in its place."""
    try:
        return (await answer).model_dump(mode="json")
    except RequestError as error:
        return {"error": str(error), "status": error.status}
    except Exception:
        logger.exception("A file of several failed.")
        return {"error": UNEXPECTED, "status": 500}


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
    return JSONResponse({"error": "The connection was closed before the request was complete."}, 400)


def _failed(_: Request, __: Exception) -> Response:
    # Starlette's outermost layer answers with this and raises the exception again, so that the server logs it.
    return JSONResponse({"error": UNEXPECTED}, 500)
