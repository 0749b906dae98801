"""Room for so much at a time, first come first served: a semaphore whose holders differ in size."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """So much of something, which tasks of one event loop share."""

    def __init__(self, size: float) -> None:
        """Begin empty."""
        self._size = self._free = size
        self._queue: deque[tuple[float, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def take(self, amount: float) -> AsyncIterator[None]:
        """Have some of it, once there is so much; what is larger than all has all."""
        amount = min(amount, self._size)
        if self._queue or amount > self._free:
            turn = asyncio.get_running_loop().create_future()
            self._queue.append((amount, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # it had its turn, and was cancelled in the same moment
                    self._free += amount
                self._let_in()
                raise
        else:
            self._free -= amount
        try:
            yield
        finally:
            self._free += amount
            self._let_in()

    def _let_in(self) -> None:
        """Those for whom there is room, in their order."""
        while self._queue:
            amount, turn = self._queue[0]
            if not turn.cancelled():
                if amount > self._free:
                    break
                self._free -= amount
                turn.set_result(None)
            self._queue.popleft()
