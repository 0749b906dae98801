"""A receiver of chunks that ends as if its process had been killed."""

import socket
from contextlib import suppress
from pathlib import Path

from genre_classifier.audio.channel import Channel
from serving.chunk_exchange import SOCKET, Receiver


class MortalReceiver(Receiver):
    """The model's end of the memory that fronts hand over."""

    def __init__(self, folder: Path) -> None:
        """Listen in a folder."""
        self._path = folder / SOCKET
        self._fronts: list[Channel] = []
        super().__init__(folder)

    @property
    def memories(self) -> int:
        """How many are mapped."""
        return len(self._readers)

    def die(self) -> None:
        """Be out of reach, and end all connections."""
        self._path.unlink(missing_ok=True)
        for front in self._fronts:
            with suppress(OSError):  # it has gone itself
                front._socket.shutdown(socket.SHUT_RDWR)  # noqa: SLF001

    def _serve(self, front: Channel) -> None:
        self._fronts.append(front)
        super()._serve(front)
