"""What audio may come from, as a seekable file without a name."""

import io
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from genre_classifier.audio.errors import AudioError

FileSource = str | os.PathLike[str] | bytes | BinaryIO
"""A path, a file's bytes, or a binary file object."""
Source = FileSource | NDArray[np.floating[Any]]
"""The same, or a waveform: floats (samples,) or (channels, samples)."""

ID3_HEADER = 10  # bytes: "ID3", version, flags, and the size of the rest as four times seven bits
ID3_FOOTER_FLAG = 0x10


class NamelessFile:
    """A seekable file without its name, since both libraries judge by a name's extension if they can.

    It begins after the ID3 tags that the file may begin with: covers of any size say nothing about the music, and to
    parse a tag of a million frames takes libmpg123 minutes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None
        self._begin = 0
        self._begin = self._after_tags()
        self.seek(0)

    def read(self, size: int = -1) -> bytes:
        """Read, or return nothing where the system cannot: both libraries read in callbacks, which cannot raise."""
        try:
            return self._file.read(size)
        except OSError as error:
            self._error = error
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Seek, or return -1: a damaged file sends its reader before the start, and a callback cannot raise."""
        try:
            if whence == os.SEEK_SET:
                offset += self._begin if offset >= 0 else offset
            place = self._file.seek(offset, whence) - self._begin
        except (OSError, ValueError):
            return -1
        return place if place >= 0 else -1

    def tell(self) -> int:
        """Bytes from the begin."""
        return self._file.tell() - self._begin

    def check(self) -> None:
        """Raise AudioError where the system could not read the file."""
        if self._error:
            message = f"The file cannot be read: {self._error.strerror or self._error}."
            raise AudioError(message, "undecodable") from self._error

    def _after_tags(self) -> int:
        begin = 0
        while self.seek(begin) == begin and len(header := self.read(ID3_HEADER)) == ID3_HEADER:
            if header[:3] != b"ID3" or max(header[6:]) > 127:  # noqa: PLR2004 (seven bits each)
                break
            size = sum(byte << shift for byte, shift in zip(header[6:], (21, 14, 7, 0), strict=True))
            begin += ID3_HEADER + size + (ID3_HEADER if header[5] & ID3_FOOTER_FLAG else 0)
        return begin


def open_source(source: FileSource, stack: ExitStack) -> BinaryIO:
    """Open a source at its start, as a seekable file.

    Raises:
        AudioError: kind "missing", there is no readable file by this name.
    """
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if isinstance(source, (str, os.PathLike)):
        return stack.enter_context(_open_path(Path(source)))
    if not source.seekable():
        return io.BytesIO(source.read())
    source.seek(0)
    return source


def _open_path(path: Path) -> BinaryIO:
    """Open a regular file; a pipe could block for ever, and a URL is no file."""
    try:
        if path.is_file():
            return path.open("rb")
    except (OSError, ValueError):  # no permission, or a name that no file can have
        pass
    raise AudioError(f"There is no readable file called {path.name}.", "missing")
