"""A semaphore whose holders differ in size, first come first served.

asyncio.Semaphore would have to count calls: one chunk of a short clip would take the place of a whole batch.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class WeightedSemaphore:
    """A number of units that tasks of one event loop share."""

    def __init__(self, units: int) -> None:
        """Start with all units free."""
        self._units = self._free = units
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def acquire(self, units: int) -> AsyncIterator[None]:
        """Hold some units, once they are free; a request for more than there are takes all."""
        units = min(units, self._units)
        if self._queue or units > self._free:
            turn = asyncio.get_running_loop().create_future()
            self._queue.append((units, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # its turn came in the moment in which it was cancelled
                    self._free += units
                self._wake()
                raise
        else:
            self._free -= units
        try:
            yield
        finally:
            self._free += units
            self._wake()

    def _wake(self) -> None:
        """Serve those whose units are free, in their order."""
        while self._queue:
            units, turn = self._queue[0]
            if not turn.cancelled():
                if units > self._free:
                    break
                self._free -= units
                turn.set_result(None)
            self._queue.popleft()
