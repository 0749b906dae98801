"""Files from object storage, ahead of the classifier, as temporary files; what is on this machine stays where it is.

Each file is fetched by a thread of its own. Nothing ends a read inside pyarrow's C++ code, so a fetch that the storage
holds up beyond its time is left behind.
"""

import errno
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from batch.sources import Part, Place, SourceError, first_line, local_path, open_place

BLOCK_BYTES = 2**20
ATTEMPTS = 5
FIRST_WAIT = 0.5  # seconds before the second attempt; doubled for each one more
FETCHERS = 8
GRACE_SECONDS = 1.0  # beyond its time, in which a fetch may say itself what is wrong
THREAD = "genre-fetch"
MIB = 2**20
TOO_SLOW = "The storage gives the file too slowly."


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
    seconds: float = 0.0
    """That it took to come here, or to be given up."""

    def remove(self) -> None:
        """Remove the copy, if it is one."""
        if self.is_copy and self.path:
            self.path.unlink(missing_ok=True)


def fetch_files(part: Part, folder: Path, limits: FetchLimits) -> Iterator[FetchedFile]:
    """Fetch the files of a part into a folder, in order, a few at a time ahead; the caller removes each one."""
    ahead: deque[tuple[FetchedFile, Future[None]]] = deque()
    stopped = Event()
    try:
        for number, (uri, identity) in enumerate(zip(part.uris, part.ids, strict=True)):
            ahead.append(_begin(FetchedFile(uri, identity), folder / str(number), limits, stopped))
            if len(ahead) >= FETCHERS:
                yield _end(*ahead.popleft(), limits)
        while ahead:
            yield _end(*ahead.popleft(), limits)
    finally:
        stopped.set()


def left_behind() -> bool:
    """Whether a fetch is still held up by the storage; pyarrow would wait for it when the process exits."""
    return any(thread.name == THREAD for thread in threading.enumerate())


def _begin(file: FetchedFile, copy: Path, limits: FetchLimits, stopped: Event) -> tuple[FetchedFile, Future[None]]:
    """Begin to fetch a file, and say when it is done."""
    done: Future[None] = Future()
    try:
        file.path = local_path(file.uri)
    except SourceError as error:
        done.set_exception(FetchError(str(error), "missing"))
        return file, done
    if file.path is not None:
        done.set_result(None)
        return file, done
    file.path, file.is_copy = copy, True

    def fetch() -> None:
        failure = None
        try:
            _download(file.uri, copy, limits, file.begun + limits.seconds, stopped)
        except BaseException as error:  # noqa: BLE001 (for whoever waits)
            copy.unlink(missing_ok=True)
            failure = error
        if not file.error:  # it was not given up meanwhile
            file.seconds = monotonic() - file.begun
        if failure:
            done.set_exception(failure)
        else:
            done.set_result(None)

    Thread(target=fetch, name=THREAD, daemon=True).start()
    return file, done


def _end(file: FetchedFile, done: Future[None], limits: FetchLimits) -> FetchedFile:
    """Wait for a file, but no longer than it may take."""
    try:
        done.result(max(0.0, file.begun + limits.seconds + GRACE_SECONDS - monotonic()))
    except TimeoutError:
        file.error = FetchError(TOO_SLOW, "unreachable")
        file.seconds = monotonic() - file.begun
    except FetchError as error:
        file.error = error
    if file.error:
        file.remove()
        file.path = None
    return file


def _download(uri: str, copy: Path, limits: FetchLimits, deadline: float, stopped: Event) -> None:
    """Copy a file from object storage, with more attempts where the network or the storage fails."""
    wait = FIRST_WAIT
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _copy(uri, copy, limits.megabytes * MIB, deadline, stopped)
        except SourceError as error:
            raise FetchError(str(error), "missing") from error
        except FileNotFoundError as error:
            raise FetchError("There is no such file in the storage.", "missing") from error
        except (OSError, pa.ArrowException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # no fault of the file's
                raise
            if attempt == ATTEMPTS or monotonic() + wait > deadline:
                raise FetchError(f"The storage does not give the file: {first_line(error)}.", "unreachable") from error
        stopped.wait(wait)
        wait *= 2
    return None


def _copy(uri: str, copy: Path, most: int, deadline: float, stopped: Event) -> None:
    system, path = _open(uri)
    size = 0
    with system.open_input_stream(path) as source, copy.open("wb") as target:
        while block := source.read(BLOCK_BYTES):
            size += len(block)
            if size > most:
                raise FetchError(f"The file is larger than {most // MIB} MiB.", "too_large")
            if monotonic() > deadline or stopped.is_set():
                raise FetchError(TOO_SLOW, "unreachable")
            target.write(block)


def _open(uri: str) -> Place:
    """The file system of a uri, the same one for all of a bucket, and the path in it."""
    parts = urlsplit(uri)
    if parts.scheme not in {"s3", "gs", "gcs"}:
        return open_place(uri)
    bucket = _bucket(f"{parts.scheme}://{parts.netloc}{'?' if parts.query else ''}{parts.query}")
    return Place(bucket.system, bucket.path.rstrip("/") + unquote(parts.path))


_bucket = lru_cache(maxsize=64)(open_place)
