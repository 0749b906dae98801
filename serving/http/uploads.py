"""A request's body -> files on disk and options, within the limits.

BentoML's own parser is not used: it fetches URLs it finds in a file's field, and reads a body of any size.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from genre_classifier.verdict import ClassifyOptions
from serving.admission import Admission, ReceivedBytes
from serving.errors import ServiceError
from serving.http.errors import RequestError
from serving.pipeline import MIB

ENVELOPE_BYTES = MIB // 16  # what multipart headers and the other fields may add to the files
MAX_FILES = 100
MAX_FIELDS = 16
MAX_FIELD_BYTES = 4096

HOW_TO_SEND = "send it as the multipart field audio, for example with curl -F audio=@song.mp3"


@dataclass(frozen=True)
class Upload:
    """What a request asks for."""

    files: list[BinaryIO]
    """In the order sent; in memory up to 1 MiB each, beyond that in unnamed temporary files."""
    options: ClassifyOptions
    bytes: int
    """Of the body."""


@asynccontextmanager
async def read_upload(
    request: Request, admission: Admission, *, max_mb: int, seconds: float, labels: int
) -> AsyncIterator[Upload]:
    """Receive a multipart body; its temporary files are gone when the context ends.

    Args:
        request: not read yet.
        admission: counts its bytes until then, and ends uploads under way when the service stops.
        max_mb: largest body in MiB; a larger one is refused unread if its length is declared, else where it gets there.
        seconds: the client may take to send it.
        labels: how many genres the model has.

    Raises:
        RequestError: 400 no file, a URL or text instead, or a bad parameter; 413 too large.
        ServiceError: slow_upload, stopping, busy or full.
    """
    limit = max_mb * MIB + ENVELOPE_BYTES
    too_large = RequestError(413, f"The request is larger than {max_mb} MiB: send a shorter or a compressed file.")
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestError(400, f"The request holds no file: {HOW_TO_SEND}.")
    with admission.receive() as received:
        parser = MultiPartParser(
            request.headers,
            _limited(request, limit, too_large, received),
            max_files=MAX_FILES,
            max_fields=MAX_FIELDS,
            max_part_size=MAX_FIELD_BYTES,
        )
        try:
            async with admission.upload_within(seconds):
                form = await parser.parse()
        except MultiPartException as error:
            raise RequestError(400, f"The multipart body cannot be read: {error.message.rstrip('.')}.") from error
        except OSError as error:  # large files go to temporary ones
            raise ServiceError("There is no room for the file at the moment: try again later.", "full") from error
        except (LookupError, ValueError) as error:  # an unknown charset, or one that does not fit
            raise RequestError(400, "The multipart body cannot be read: its charset does not fit.") from error
        try:
            yield Upload(files=_files(form), options=_options(form, labels), bytes=received.total)
        finally:
            await form.close()


async def _limited(
    request: Request, limit: int, too_large: RequestError, received: ReceivedBytes
) -> AsyncGenerator[bytes]:
    async for part in request.stream():
        received.add(len(part))
        if received.total > limit:
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
        in_memory = (upload.size or 0) <= MultiPartParser.spool_max_size
        # By itself it would go to the disk when a decoder is handed its descriptor.
        files.append(BytesIO(upload.file.read()) if in_memory else upload.file)
    return files


def _options(form: FormData, labels: int) -> ClassifyOptions:
    top_k, aggregate = _parameter(form, "top_k"), _parameter(form, "aggregate")
    options = ClassifyOptions(top_k=top_k, aggregate="vote" if aggregate is None else aggregate)
    try:
        options.check(labels)
    except ValueError as error:
        raise RequestError(400, str(error)) from error
    return options


def _parameter(form: FormData, name: str) -> Any:
    """A form field as it is or as JSON: BentoML's client sends "mean" with its quotes, and null for None."""
    text = form.get(name)
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return text
