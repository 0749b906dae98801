"""Admission: what would wait too long is refused at once, so that what is accepted is answered in time.

Each front process judges for itself, by what it has in hand and by how fast it has been of late.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import BinaryIO

from serving.errors import RETRY_AFTER, RequestError

# Of a file not decoded yet, its size tells how long it plays, roughly: losslessly coded music has about 100 kB a
# second, the rest 16. A wrong guess matters little, for speed is measured in the same seconds.
LOSSLESS = (b"RIFF", b"RF64", b"FORM", b"fLaC", b".snd", b"caff")
LOSSLESS_BYTES, LOSSY_BYTES = 100_000, 16_000
FIRST_SPEED = 200.0  # seconds of music a second, of one core, until there is a measurement
LEAST_SPEED = 10.0  # whatever was measured: a flood of broken files takes time and gets nothing done
MEMORY = 10.0  # busy seconds after which a measurement counts for a third
STOPPING_GRACE = 5.0  # seconds that an upload under way has when the service is being stopped


class Admission:
    """The work in hand, in seconds of music, and the bytes of the requests that it came with."""

    def __init__(self, *, max_wait: float, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing in hand.

        Args:
            max_wait: seconds that a request may wait for those before it.
            max_bytes: what all requests together may hold in memory and temporary files.
            clock: the time in seconds.
        """
        self._max_wait = max_wait
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes = 0
        self._work = 0.0
        self._done, self._busy = FIRST_SPEED * MEMORY, MEMORY  # seconds of music, and those they took; both fade
        self._since = clock()
        self._uploads: set[asyncio.Timeout] = set()
        self._stopping = False

    @property
    def wait(self) -> float:
        """Seconds until what is in hand will be done."""
        return self._work / max(self._done / self._busy, LEAST_SPEED)

    def check(self) -> None:
        """See whether there is room for one more.

        Raises:
            RequestError: 503, what is in hand takes too long already.
        """
        if self.wait > self._max_wait:
            self._refuse()

    @contextmanager
    def admit(self, work: float) -> Iterator[None]:
        """Hold work while it is done.

        Args:
            work: seconds of music, as `estimate` tells them.

        Raises:
            RequestError: 503, there is too much in hand.
        """
        self.check()
        self._pass_time()
        self._work += work
        try:
            yield
        except BaseException:
            self._pass_time()
            raise
        else:
            self._pass_time()
            self._done += work  # of what was refused or given up, nothing can be learnt
        finally:
            self._work -= work

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

    def _pass_time(self) -> None:
        """Count the time since the last call, if there was work in it."""
        now = self._clock()
        if self._work > 0:
            elapsed = now - self._since
            fade = math.exp(-elapsed / MEMORY)
            self._done *= fade
            self._busy = self._busy * fade + elapsed
        self._since = now

    def _refuse(self) -> None:
        seconds = max(1, math.ceil(min(self.wait, self._max_wait) / 2))  # by then half of it is done
        sentence = "The service is at its capacity: try again later."
        raise RequestError(503, sentence, {"Retry-After": str(seconds)})


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
    """About how many seconds of music a file holds, by its size and its first bytes; left at its start."""
    file.seek(0)
    start = file.read(4)
    size = file.seek(0, 2)
    file.seek(0)
    return min(size / (LOSSLESS_BYTES if start in LOSSLESS else LOSSY_BYTES), max_seconds)
