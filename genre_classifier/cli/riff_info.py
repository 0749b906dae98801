"""The genre in a WAV file's RIFF INFO list, the tags that came before ID3 (Multimedia Programming Interface, 1991)."""

import os
import shutil
from pathlib import Path
from typing import BinaryIO, NamedTuple

GENRE = b"IGNR"
HEADER = 12  # bytes: "RIFF", size, "WAVE"
LARGEST_LIST = 1 << 20  # bytes; one beyond is no list of tags
LARGEST_FILE = (1 << 32) - 2  # the size in the header has 32 bits, and all of them set stand for an unknown length


class _Chunk(NamedTuple):
    name: bytes
    place: int
    """Of its header, from the begin of the file or of the list."""
    size: int
    """Of its content, as it stands there."""

    @property
    def end(self) -> int:
        return self.place + 8 + self.size + self.size % 2


def read_genre(path: Path) -> list[str] | None:
    """The genre in a file's INFO list, none or one; None where the file has no such list.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        found = _find(file, b"LIST")
        if found is None:
            return None
        tags = _content(file, found)
    genres = (tags[each.place + 8 : each.place + 8 + each.size] for each in _tags(tags) if each.name == GENRE)
    return [genre.rstrip(b"\0").decode("utf-8", errors="surrogateescape") for genre in genres][:1]


def copy_with_genre(source: Path, target: Path, genre: list[str] | None) -> None:
    """Copy a file whose INFO list says a genre, or none, instead of the one it has.

    Args:
        source: a WAV file. Without an INFO list it gets one, after its music.
        target: the copy.
        genre: one, or none; None also takes away a list that would be empty.

    Raises:
        OSError: it cannot be read or written.
        ValueError: its header does not say where its music ends.
    """
    with source.open("rb") as old, target.open("wb") as new:
        whole = old.seek(0, os.SEEK_END)
        found = _find(old, b"LIST")
        tags = _content(old, found) if found else b""
        kept = b"".join(tags[each.place : each.end] for each in _tags(tags) if each.name != GENRE)
        content = kept + b"".join(_pack(GENRE, _text(each)) for each in genre or [])
        place, after = (found.place, found.end) if found else (_end_of_music(old, whole),) * 2
        old.seek(0)
        _copy(old, new, place)
        new.write(b"\0" * (place - new.tell()))  # music of an odd length whose last byte of padding is missing
        if content or genre is not None:
            new.write(_pack(b"LIST", b"INFO" + content))
        old.seek(min(after, whole))
        shutil.copyfileobj(old, new)
        grown = new.tell() - whole
        old.seek(4)
        size = int.from_bytes(old.read(4), "little") + grown
        if not 0 < size <= LARGEST_FILE:
            raise ValueError("the sizes in its header are not those of its music")
        new.seek(4)
        new.write(size.to_bytes(4, "little"))


def _find(file: BinaryIO, name: bytes) -> _Chunk | None:
    """The first chunk of a name; of lists, the first that has tags."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    header = file.read(HEADER)
    if header[:4] != b"RIFF" or header[8:] != b"WAVE":
        return None
    place = HEADER
    while place + 8 <= end:
        file.seek(place)
        head = file.read(HEADER)
        chunk = _Chunk(head[:4], place, int.from_bytes(head[4:8], "little"))
        if chunk.name == name and (name != b"LIST" or (head[8:] == b"INFO" and chunk.size <= LARGEST_LIST)):
            return chunk
        place = chunk.end
    return None


def _end_of_music(file: BinaryIO, whole: int) -> int:
    """Where a list can be put in."""
    music = _find(file, b"data")
    if music is None or music.place + 8 + music.size > whole:  # cut short, or a stream whose length was not known
        raise ValueError("the sizes in its header are not those of its music")
    return music.end


def _content(file: BinaryIO, found: _Chunk) -> bytes:
    """What follows "INFO" in the list."""
    file.seek(found.place + HEADER)
    return file.read(found.size - 4)


def _tags(content: bytes) -> list[_Chunk]:
    tags = []
    place = 0
    while place + 8 <= len(content):
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        tags.append(_Chunk(content[place : place + 4], place, size))
        place = tags[-1].end
    return tags


def _text(genre: str) -> bytes:
    return genre.encode("utf-8", errors="surrogateescape") + b"\0"


def _pack(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)


def _copy(old: BinaryIO, new: BinaryIO, count: int) -> None:
    while count and (block := old.read(min(count, 1 << 20))):
        new.write(block)
        count -= len(block)
