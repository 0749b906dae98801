"""Files from object storage, ahead of the classifier, as temporary files; what is on this machine stays where it is."""

import errno
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import monotonic
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from batch.sources import Part, SourceError, open_place

BLOCK_BYTES = 2**20
ATTEMPTS = 5
FIRST_WAIT = 0.5  # seconds before the second attempt; doubled for each one more
FETCHERS = 8
MIB = 2**20


class FetchError(Exception):
    """A file cannot be fetched; the message is one sentence, and `kind` says why: missing, too_large or unreachable."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class FetchLimits:
    """What one file may take."""

    megabytes: int
    """Of a file in object storage; one on this machine is not copied."""
    seconds: float
    """By the clock, over all attempts."""


@dataclass
class FetchedFile:
    """A file of a part, here or not to be had."""

    uri: str
    identity: str | None
    path: Path | None = None
    error: FetchError | None = None
    is_copy: bool = False
    begun: float = field(default_factory=monotonic)

    def remove(self) -> None:
        """Remove the copy, if it is one."""
        if self.is_copy and self.path:
            self.path.unlink(missing_ok=True)


def fetch_files(part: Part, folder: Path, limits: FetchLimits) -> Iterator[FetchedFile]:
    """Fetch the files of a part into a folder, in order, a few at a time ahead; the caller removes each one."""
    pool = ThreadPoolExecutor(FETCHERS, thread_name_prefix="genre-fetch")
    ahead: deque[Future[FetchedFile]] = deque()
    try:
        for number, (uri, identity) in enumerate(zip(part.uris, part.ids, strict=True)):
            ahead.append(pool.submit(_fetch, uri, identity, folder / str(number), limits))
            if len(ahead) > FETCHERS:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _fetch(uri: str, identity: str | None, copy: Path, limits: FetchLimits) -> FetchedFile:
    file = FetchedFile(uri, identity)
    if "://" not in uri:
        file.path = Path(uri)
    elif uri.startswith("file://"):
        file.path = Path(unquote(urlsplit(uri).path))
    else:
        try:
            _download(uri, copy, limits, file.begun + limits.seconds)
            file.path, file.is_copy = copy, True
        except FetchError as error:
            copy.unlink(missing_ok=True)
            file.error = error
    return file


def _download(uri: str, copy: Path, limits: FetchLimits, deadline: float) -> None:
    """Copy a file from object storage, with more attempts where the network or the storage fails."""
    wait = FIRST_WAIT
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _copy(uri, copy, limits.megabytes * MIB, deadline)
        except SourceError as error:
            raise FetchError(str(error), "missing") from error
        except FileNotFoundError as error:
            raise FetchError("There is no such file in the storage.", "missing") from error
        except (OSError, pa.ArrowException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # no fault of the file's
                raise
            if attempt == ATTEMPTS or monotonic() + wait > deadline:
                raise FetchError(
                    f"The storage does not give the file after {attempt} attempts.", "unreachable"
                ) from error
        time.sleep(wait)
        wait *= 2
    return None


def _copy(uri: str, copy: Path, most: int, deadline: float) -> None:
    system, path = _open(uri)
    size = 0
    with system.open_input_stream(path) as source, copy.open("wb") as target:
        while block := source.read(BLOCK_BYTES):
            size += len(block)
            if size > most:
                raise FetchError(f"The file is larger than {most // MIB} MiB.", "too_large")
            if monotonic() > deadline:
                raise FetchError("The storage gives the file too slowly.", "unreachable")
            target.write(block)


def _open(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of a uri, the same one for all of a bucket, and the path in it."""
    parts = urlsplit(uri)
    if parts.scheme not in {"s3", "gs", "gcs"}:
        return open_place(uri)
    system = _bucket(f"{parts.scheme}://{parts.netloc}{'?' if parts.query else ''}{parts.query}")
    return system, parts.netloc + unquote(parts.path)


@lru_cache(maxsize=64)
def _bucket(uri: str) -> fs.FileSystem:
    return open_place(uri).system
