"""Lines of JSON, and file descriptors, over a local socket: how a decoder process and its owner talk."""

import json
import socket
from collections import deque
from typing import Any

LINE_BYTES = 2**16


class Channel:
    """One end of a socket pair."""

    def __init__(self, end: socket.socket) -> None:
        """Own this end."""
        self.descriptors: deque[int] = deque()
        """Received and not taken yet, in order."""
        self._socket = end
        self._received = b""

    def send(self, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
        """Send a message, and duplicates of descriptors with it."""
        line = json.dumps(message).encode() + b"\n"
        sent = socket.send_fds(self._socket, [line], descriptors) if descriptors else 0
        self._socket.sendall(line[sent:])

    def receive(self, seconds: float | None = None) -> dict[str, Any] | None:
        """Wait for the next message; None where the other end is closed.

        Raises:
            TimeoutError: it did not come in so many seconds.
        """
        self._socket.settimeout(seconds)
        while b"\n" not in self._received:
            try:
                part, descriptors, _, _ = socket.recv_fds(self._socket, LINE_BYTES, 1)
            except ConnectionError:
                return None
            except BlockingIOError:
                raise TimeoutError from None
            if not part:
                return None
            self._received += part
            self.descriptors.extend(descriptors)
        line, _, self._received = self._received.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
