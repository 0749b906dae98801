"""A request's body becomes files on disk and a wish, within the limits, or is refused with a status and a sentence.

BentoML's own parser is not used: it fetches URLs it finds in a file's field, and reads a body of any size.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, get_args

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from serving.admission import Admission, Received
from serving.errors import RequestError
from serving.verdict import Aggregate, Wish

MIB = 2**20
ENVELOPE = MIB // 16  # what multipart headers and the other fields may add to the files
MAX_FILES = 100
MAX_FIELDS = 16
MAX_FIELD_BYTES = 4096

HOW_TO_SEND = "send it as the multipart field audio, for example with curl -F audio=@song.mp3"


@dataclass(frozen=True)
class Upload:
    """What a request asks for."""

    files: list[BinaryIO]
    """In the order sent; in memory up to 1 MiB each, beyond that in unnamed temporary files."""
    wish: Wish
    bytes: int
    """Of the body."""


@asynccontextmanager
async def read_upload(
    request: Request, admission: Admission, *, max_mb: int, seconds: float, labels: int
) -> AsyncIterator[Upload]:
    """Receive a multipart body; its temporary files are gone when the context ends.

    Args:
        request: not read yet.
        admission: counts its bytes until then, and gives up what is still on its way when the service stops.
        max_mb: largest body in MiB; a larger one is refused unread if its length is told, else where it gets there.
        seconds: the client may take to send it.
        labels: top_k may not exceed their number.

    Raises:
        RequestError: 400 no file, a URL or text instead, or a bad parameter; 408 too slow; 413 too large; 503 too many
            at once.
    """
    limit = max_mb * MIB + ENVELOPE
    too_large = RequestError(413, f"The request is larger than {max_mb} MiB: send a shorter or a compressed file.")
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestError(400, f"The request holds no file: {HOW_TO_SEND}.")
    with admission.receive() as received:
        parser = MultiPartParser(
            request.headers,
            _bounded(request, limit, too_large, received),
            max_files=MAX_FILES,
            max_fields=MAX_FIELDS,
            max_part_size=MAX_FIELD_BYTES,
        )
        try:
            async with admission.within(seconds):
                form = await parser.parse()
        except MultiPartException as error:
            raise RequestError(400, f"The multipart body cannot be read: {error.message.rstrip('.')}.") from error
        except (LookupError, ValueError) as error:  # a charset that is none, or that does not fit
            raise RequestError(400, "The multipart body cannot be read: its charset does not fit.") from error
        try:
            yield Upload(files=_files(form), wish=_wish(form, labels), bytes=received.bytes)
        finally:
            await form.close()


async def _bounded(request: Request, limit: int, too_large: RequestError, received: Received) -> AsyncGenerator[bytes]:
    async for part in request.stream():
        received.count(len(part))
        if received.bytes > limit:
            raise too_large
        yield part


def _files(form: FormData) -> list[BinaryIO]:
    uploads = form.getlist("audio")
    if not uploads:
        raise RequestError(400, f"The field audio is missing: {HOW_TO_SEND}.")
    files = []
    for upload in uploads:
        if not isinstance(upload, UploadFile):
            raise RequestError(400, f"The field audio holds text or a URL, not a file: download it and {HOW_TO_SEND}.")
        if not upload.filename and not upload.size:  # what a browser sends for a form without a choice
            raise RequestError(400, f"No file was chosen: {HOW_TO_SEND}.")
        files.append(upload.file)
    return files


def _wish(form: FormData, labels: int) -> Wish:
    top_k = _parameter(form, "top_k")
    if top_k is not None and (type(top_k) is not int or not 1 <= top_k <= labels):
        raise RequestError(400, f"top_k must be a whole number from 1 to {labels}.")
    aggregate = _parameter(form, "aggregate")
    if aggregate is None:
        return Wish(top_k=top_k)
    if aggregate not in get_args(Aggregate):
        raise RequestError(400, "aggregate must be vote or mean.")
    return Wish(top_k=top_k, aggregate=aggregate)


def _parameter(form: FormData, name: str) -> Any:
    """A form field as it is or as JSON: BentoML's client sends "mean" with its quotes, and null for None."""
    text = form.get(name)
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return text
