"""How many connections a front process holds, and how long each may wait without sending a whole request's head.

The HTTP server itself limits only the time between two requests.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

HEAD_SECONDS = 20.0  # for the head of a request, from its first byte or, for the first one, from the connection's start
STALLED_SECONDS = 60.0  # for a client that does not read its answer, or sends the rest of a body that was refused


class Connections:
    """The connections of this process; beyond the limit, the one that has waited longest without a request goes."""

    def __init__(self, most: int) -> None:
        """`most` is how many may be open."""
        self.most = most
        self._waiting: dict[LimitedConnection, None] = {}  # in the order in which they began to wait

    def make_room(self, held: int) -> bool:
        """Close a connection that waits, if so many are too many; whether there is room now."""
        if held <= self.most:
            return True
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        longest.close()
        return True

    def waits(self, connection: "LimitedConnection") -> None:
        """Count a connection that has no request under way."""
        self._waiting[connection] = None

    def works(self, connection: "LimitedConnection") -> None:
        """Do not count it any longer: it has a request under way, or is gone."""
        self._waiting.pop(connection, None)


class LimitedConnection:
    """What is added to uvicorn's protocol of one connection, whose callbacks these are."""

    shared: Connections
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    connections: set[Any]
    pipeline: deque[Any]

    _timer: asyncio.TimerHandle | None = None
    _in_message = False  # its head or body is being received
    _answering = False

    def close(self) -> None:
        """Close it when what was answered has been sent."""
        self._stop()
        self.shared.works(self)
        self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take a new connection, or refuse it."""
        super().connection_made(transport)  # type: ignore[misc]
        if not self.shared.make_room(len(self.connections)):
            self.transport.abort()
            return
        self.shared.waits(self)
        self._limit(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Take some bytes."""
        super().data_received(data)  # type: ignore[misc]
        if not self._answering and self._timer is None:  # also for blank lines before a request
            self._limit(HEAD_SECONDS)

    def on_message_begin(self) -> None:
        """Take a request's first byte."""
        self._in_message = True
        super().on_message_begin()  # type: ignore[misc]

    def on_headers_complete(self) -> None:
        """Take a request's head, and let it be answered."""
        self._stop()
        self._answering = True
        self.shared.works(self)
        super().on_headers_complete()  # type: ignore[misc]

    def on_message_complete(self) -> None:
        """Take a request's last byte."""
        self._in_message = False
        super().on_message_complete()  # type: ignore[misc]
        if not self._answering:  # it was answered before it had come
            self._stop()

    def on_response_complete(self) -> None:
        """Note that a request is answered; another may wait behind it."""
        self._answering = bool(self.pipeline)
        super().on_response_complete()  # type: ignore[misc]
        if not self._answering:
            self.shared.waits(self)
            if self._in_message:
                self._limit(STALLED_SECONDS)

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        self._limit(STALLED_SECONDS, self.transport.abort)
        super().pause_writing()  # type: ignore[misc]

    def resume_writing(self) -> None:
        """Note that it reads again."""
        self._stop()
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it."""
        self._stop()
        self.shared.works(self)
        super().connection_lost(error)  # type: ignore[misc]

    def _limit(self, seconds: float, end: Callable[[], None] | None = None) -> None:
        self._stop()
        self._timer = self.loop.call_later(seconds, end or self.close)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def limited(protocol: type, connections: Connections) -> type:
    """Make a kind of uvicorn's protocol whose connections are limited."""
    return type("LimitedProtocol", (LimitedConnection, protocol), {"shared": connections})
