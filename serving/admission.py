"""Admission: what would wait too long is refused at once, so that what is accepted is answered in time.

Each front process judges for itself, by what it has in hand and by how fast it has been of late.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import BinaryIO

from audio import declared_seconds
from serving.errors import RETRY_AFTER, RequestError

# A guess is corrected when the file is decoded. Of music whose header does not tell how long it is, a second has about
# so many bytes; and at least so many, else the header lies, or there is little in it.
USUAL_BYTES, LEAST_BYTES = 16_000, 4_000
FIRST_SPEED = 200.0  # seconds of music a second, of one core, until there is a measurement
LEAST_SPEED = 10.0  # whatever was measured
MEMORY = 10.0  # busy seconds after which a measurement counts for a third
STOPPING_GRACE = 5.0  # seconds that an upload under way has when the service is being stopped


class Admission:
    """The work in hand, in seconds of music, and the bytes of the requests that it came with."""

    def __init__(self, *, max_wait: float, max_bytes: int) -> None:
        """Begin with nothing in hand.

        Args:
            max_wait: seconds that a request may wait for those before it.
            max_bytes: what all requests together may hold in memory and temporary files.
        """
        self._max_wait = max_wait
        self._max_bytes = max_bytes
        self._bytes = 0
        self._works: set[Work] = set()
        self._done, self._busy = FIRST_SPEED * MEMORY, MEMORY  # seconds of music, and those they took; both fade
        self._until = -math.inf  # the end of the time that is counted as busy
        self._uploads: set[asyncio.Timeout] = set()
        self._stopping = False

    @property
    def speed(self) -> float:
        """Seconds of music judged in a second."""
        return max(self._done / self._busy, LEAST_SPEED)

    @property
    def busy(self) -> bool:
        """Whether more than one file is in hand."""
        return len(self._works) > 1

    @property
    def wait(self) -> float:
        """Seconds until what is in hand will be done."""
        return sum(work.seconds for work in self._works) / self.speed

    def check(self) -> None:
        """See whether there is room for one more.

        Raises:
            RequestError: 503, what is in hand takes too long already.
        """
        if self.wait > self._max_wait:
            self._refuse()

    @contextmanager
    def admit(self, seconds: Sequence[float]) -> Iterator[list["Work"]]:
        """Hold the work of files until all are done.

        Args:
            seconds: of music in each, as `estimate` tells them.

        Raises:
            RequestError: 503, there is too much in hand.
        """
        self.check()
        works = [Work(each) for each in seconds]
        self._works.update(works)
        try:
            yield works
        finally:
            self._works.difference_update(works)

    def learn(self, seconds: float, begin: float, end: float) -> None:
        """Count music that was judged, from a begin to an end on `time.perf_counter`; shared time counts once."""
        took = max(0.0, end - max(begin, self._until))
        fade = math.exp(-took / MEMORY)
        self._done = self._done * fade + seconds
        self._busy = self._busy * fade + took
        self._until = max(self._until, end)

    @contextmanager
    def receive(self) -> Iterator["Received"]:
        """Hold the bytes of a request, which are to be counted as they come, until it is answered."""
        received = Received(self)
        try:
            yield received
        finally:
            self._bytes -= received.bytes

    def hold(self, size: int) -> None:
        """Hold more bytes.

        Raises:
            RequestError: 503, all requests together hold too many.
        """
        self._bytes += size
        if self._bytes > self._max_bytes:
            self._refuse()

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Receive a request in so many seconds, or in the few that are left where the service is being stopped.

        Raises:
            RequestError: 408, it took longer; 503, the service is being stopped.
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
                raise RequestError(503, "The service is being stopped: try again in a moment.", RETRY_AFTER) from None
            raise RequestError(408, f"The upload took longer than {seconds:g} seconds: send a smaller file.") from None

    def stop(self) -> None:
        """Give uploads under way a last few seconds; called in the event loop."""
        self._stopping = True
        last = asyncio.get_running_loop().time() + STOPPING_GRACE
        for deadline in self._uploads:
            deadline.reschedule(min(deadline.when() or last, last))

    def _refuse(self) -> None:
        seconds = max(1, math.ceil(min(self.wait, self._max_wait) / 2))  # by then half of it is done
        sentence = "The service is at its capacity: try again later."
        raise RequestError(503, sentence, {"Retry-After": str(seconds)})


class Work:
    """A file in hand."""

    def __init__(self, seconds: float) -> None:
        """Begin with a guess."""
        self.seconds = seconds
        """Of music that is still to be judged; who does it corrects it as it goes."""


class Received:
    """The bytes of one request so far."""

    def __init__(self, admission: Admission) -> None:
        """None yet."""
        self.bytes = 0
        self._admission = admission

    def count(self, size: int) -> None:
        """Some more; raises as Admission.hold does."""
        self.bytes += size
        self._admission.hold(size)


def estimate(file: BinaryIO, max_seconds: float) -> float:
    """About how many seconds of music a file holds, by its header and its size; left at its start."""
    declared = declared_seconds(file)
    size = file.seek(0, 2)
    file.seek(0)
    return min(size / USUAL_BYTES if declared is None else min(declared, size / LEAST_BYTES), max_seconds)
