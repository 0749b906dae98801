"""How many connections a front process holds, how long each may take for a request's head, and how large that may be.

The HTTP server itself limits only the time between two requests.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

HEAD_SECONDS = 20.0  # for the head of a request, from its first byte or, for the first one, from the connection's start
MAX_HEAD_BYTES = 2**16  # that bring no body: a head, but also what may stand between and after the chunks of a body
MAX_PIPELINED = 8  # requests that wait behind one that is being answered; browsers send none
STALLED_SECONDS = 60.0  # for a client that does not read its answer, or sends the rest of a body that was refused


class PipelineError(Exception):
    """A client sent too many requests without waiting for an answer."""


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
    cycle: Any

    _timer: asyncio.TimerHandle | None = None
    _in_head = False
    _in_message = False  # its head or body is being received
    _without_body = 0  # bytes of a message that brought none of its body

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what uvicorn's protocol takes."""
        super().__init__(*args, **kwargs)
        self._cycles: deque[Any] = deque()  # uvicorn's, of the request that is being answered and of those that wait

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
        self._without_body += len(data)
        super().data_received(data)  # type: ignore[misc]
        if self._in_message and self._without_body > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is larger than 64 KiB.")
        elif not self._cycles and self._timer is None:  # also for blank lines before a request
            self._limit(HEAD_SECONDS)

    def on_message_begin(self) -> None:
        """Take a request's first byte.

        Raises:
            PipelineError: too many wait already. The parser stops, and the connection is closed.
        """
        if len(self.pipeline) >= MAX_PIPELINED:
            raise PipelineError
        self._in_head = self._in_message = True
        self._without_body = 0
        super().on_message_begin()  # type: ignore[misc]

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a line of a request's head, but none of those that may follow a body."""
        if self._in_head:
            super().on_header(name, value)  # type: ignore[misc]

    def on_body(self, body: bytes) -> None:
        """Take some of a request's body."""
        self._without_body = 0
        super().on_body(body)  # type: ignore[misc]

    def on_headers_complete(self) -> None:
        """Take a request's head, and let it be answered."""
        self._stop()
        self._in_head = False
        self.shared.works(self)
        super().on_headers_complete()  # type: ignore[misc]
        self._cycles.append(self.cycle)

    def on_message_complete(self) -> None:
        """Take a request's last byte."""
        self._in_message = False
        super().on_message_complete()  # type: ignore[misc]
        if not self._cycles:  # it was answered before it had come
            self._stop()

    def on_response_complete(self) -> None:
        """Note that a request is answered; another may wait behind it."""
        self._cycles.popleft()
        super().on_response_complete()  # type: ignore[misc]
        if not self._cycles:
            self.shared.waits(self)
            if self._in_message:
                self._limit(STALLED_SECONDS)

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        self._limit(STALLED_SECONDS, self._abort)
        super().pause_writing()  # type: ignore[misc]

    def resume_writing(self) -> None:
        """Note that it reads again."""
        self._stop()
        super().resume_writing()  # type: ignore[misc]

    def send_400_response(self, _: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, "The request is not HTTP.")

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it."""
        self._stop()
        self._tell_cycles()
        self.shared.works(self)
        super().connection_lost(error)  # type: ignore[misc]

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        if self.transport.is_closing():
            return
        if self._cycles:  # an answer may be on the way
            self._abort()
            return
        body = json.dumps({"error": sentence})
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        self.close()

    def _abort(self) -> None:
        self._tell_cycles()
        self.transport.abort()

    def _tell_cycles(self) -> None:
        """Tell all requests that nobody listens any longer; uvicorn tells only the last, and the others would write."""
        for cycle in self._cycles:
            cycle.disconnected = True
            cycle.message_event.set()

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
