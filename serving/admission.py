"""Admission: what would wait too long is refused at once, so that what is accepted is answered in time.

Each front process decides by itself, from the work it has in hand and its recent speed.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import BinaryIO

from serving.errors import ServiceError
from serving.metrics import wait_seconds

# Of a second of music, by a file's first bytes: what is not compressed has more. The estimate is corrected as soon as a
# decoder has read the header.
DEFAULT_BYTES_PER_SECOND = 16_000
BYTES_PER_SECOND = {**dict.fromkeys((b"RIFF", b"RF64", b"FORM", b".snd"), 88_200), b"fLaC": 50_000}
INITIAL_SPEED = 200.0  # seconds of music a second, of one core, until there is a measurement
MIN_SPEED = 10.0  # whatever was measured
FADE_SECONDS = 10.0  # busy seconds after which a measurement counts for a third
STOPPING_GRACE_SECONDS = 5.0  # what an upload under way still has when the service is being stopped


class Admission:
    """The work in hand, in seconds of music, and the bytes of the requests that it came with."""

    def __init__(self, *, max_wait: float, max_bytes: int) -> None:
        """Start with nothing in hand.

        Args:
            max_wait: seconds that a request may wait for those before it.
            max_bytes: what all requests together may hold in memory and temporary files.
        """
        self._max_wait = max_wait
        self._max_bytes = max_bytes
        self._bytes = 0
        self._works: set[Work] = set()
        # Seconds of music classified, and the seconds that took; both fade.
        self._music_seconds, self._busy_seconds = INITIAL_SPEED * FADE_SECONDS, FADE_SECONDS
        self._busy_until = -math.inf
        self._uploads: set[asyncio.Timeout] = set()
        self._stopping = False

    @property
    def speed(self) -> float:
        """Seconds of music classified in a second."""
        return max(self._music_seconds / self._busy_seconds, MIN_SPEED)

    @property
    def is_busy(self) -> bool:
        """Whether more than one file is in hand."""
        return len(self._works) > 1

    @property
    def wait(self) -> float:
        """Seconds until what is in hand will be done."""
        return sum(work.seconds for work in self._works) / self.speed

    def check(self) -> None:
        """Refuse if a request that arrived now would wait too long.

        Raises:
            ServiceError: busy.
        """
        if self.wait > self._max_wait:
            self._refuse()

    @contextmanager
    def admit(self, seconds: Sequence[float]) -> Iterator[list["Work"]]:
        """Hold the work of files until all are done.

        Args:
            seconds: of music in each file, by `estimate`.

        Raises:
            ServiceError: busy.
        """
        self.check()
        works = [Work(each) for each in seconds]
        self._works.update(works)
        wait_seconds().set(self.wait)
        try:
            yield works
        finally:
            self._works.difference_update(works)
            wait_seconds().set(self.wait)

    def learn(self, seconds: float, begin: float, end: float) -> None:
        """Count music that was classified between two times of `time.perf_counter`; overlapping time counts once."""
        took = max(0.0, end - max(begin, self._busy_until))
        fade = math.exp(-took / FADE_SECONDS)
        self._music_seconds = self._music_seconds * fade + seconds
        self._busy_seconds = self._busy_seconds * fade + took
        self._busy_until = max(self._busy_until, end)

    @contextmanager
    def receive(self) -> Iterator["ReceivedBytes"]:
        """Hold the bytes of a request, which are counted as they come, until it is answered."""
        received = ReceivedBytes(self)
        try:
            yield received
        finally:
            self._bytes -= received.total

    def hold(self, size: int) -> None:
        """Hold more bytes.

        Raises:
            ServiceError: busy, all requests together hold too many.
        """
        self._bytes += size
        if self._bytes > self._max_bytes:
            self._refuse()

    @asynccontextmanager
    async def upload_within(self, seconds: float) -> AsyncIterator[None]:
        """Receive a request in so many seconds, or in the few that are left where the service is being stopped.

        Raises:
            ServiceError: slow_upload, or stopping.
        """
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                self._uploads.add(deadline)
                try:
                    yield
                finally:
                    self._uploads.discard(deadline)
        except TimeoutError:
            if self._stopping:
                raise ServiceError("The service is being stopped: try again in a moment.", "stopping") from None
            message = f"The upload took longer than {seconds:g} seconds: send a smaller file."
            raise ServiceError(message, "slow_upload") from None

    def stop(self) -> None:
        """Give uploads under way a last few seconds; called in the event loop."""
        self._stopping = True
        last = asyncio.get_running_loop().time() + STOPPING_GRACE_SECONDS
        for deadline in self._uploads:
            deadline.reschedule(min(deadline.when() or last, last))

    def _refuse(self) -> None:
        seconds = max(1, math.ceil(min(self.wait, self._max_wait) / 2))  # by then half of it is done
        raise ServiceError("The service is at its capacity: try again later.", "busy", retry_after=seconds)


class Work:
    """A file in hand."""

    def __init__(self, seconds: float) -> None:
        """Start with an estimate."""
        self.seconds = seconds
        """Of music that is still to be classified; the pipeline corrects it as it goes."""


class ReceivedBytes:
    """The bytes of one request so far."""

    def __init__(self, admission: Admission) -> None:
        """None yet."""
        self.total = 0
        self._admission = admission

    def add(self, size: int) -> None:
        """Count some more; raises as Admission.hold does."""
        self.total += size
        self._admission.hold(size)


def estimate(file: BinaryIO, max_seconds: float) -> float:
    """Estimate the seconds of music in a file from its size and first bytes; the file is left at its start.

    To look any closer takes a decoder, and comes after admission.
    """
    size = file.seek(0, 2)
    file.seek(0)
    rate = BYTES_PER_SECOND.get(file.read(4), DEFAULT_BYTES_PER_SECOND)
    file.seek(0)
    return min(size / rate, max_seconds)
