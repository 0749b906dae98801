"""The genre in a music file's own tags, read and changed without losing any of its music.

Tags are changed in a copy beside the file. The copy takes the file's name only when it is on the disk and holds the
same encoded audio, packet by packet.
"""

import hashlib
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import av
import mutagen
from mutagen.apev2 import APENoHeaderError, APEv2
from mutagen.asf import ASFTags
from mutagen.id3 import ID3, TCON
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4Tags
from mutagen.wave import WAVE

from genre_classifier.atomic import remove_leftovers, replacing
from genre_classifier.cli import riff_info
from genre_classifier.cli.results import TagError

Genres = dict[str, list[str] | None]
"""The genres in each kind of tags that a file has, such as ID3; None where it has no tags of a kind that it should."""

NO_PLACE = "This format has no place for a genre: its tags are left as they are."
ID3_UTF8, ID3_V23 = 3, (2, 3, 0)
APE, INFO, VORBIS = "APEv2", "INFO", "Vorbis comment"
KINDS = {ID3: ("ID3", "TCON"), MP4Tags: ("MP4", "\xa9gen"), ASFTags: ("ASF", "WM/Genre"), APEv2: (APE, "Genre")}


class GenreTags:
    """The genre tags of one file: ID3, Vorbis comment, MP4, ASF or APEv2; also APEv2 and INFO that stand beside ID3."""

    def __init__(self, path: Path) -> None:
        """Read them.

        Raises:
            TagError: the file's format has no place for a genre, or it cannot be read.
        """
        self._path = path.resolve()  # a link stays a link
        with _telling("read"):
            self._opened = mutagen.File(self._path)
            if self._opened is None:
                raise TagError(NO_PLACE)
            self._are_new = self._opened.tags is None
            if self._are_new:
                self._add()
            self._kind, self._key = next(
                (names for kind, names in KINDS.items() if isinstance(self._opened.tags, kind)), (VORBIS, "genre")
            )
            self._ape = _ape(self._path) if isinstance(self._opened, MP3) else None
            self._is_wav = isinstance(self._opened, WAVE)
            self.genres = self._read(None if self._are_new else self._opened.tags, self._ape, self._path)

    @property
    def present(self) -> list[str]:
        """The genres that stand there, in the first kind of tags that has any; blank ones are none."""
        named = ([genre for genre in each or () if genre.strip()] for each in self.genres.values())
        return next(filter(None, named), [])

    def with_genre(self, genre: str) -> Genres:
        """What it would say with one genre in all its tags."""
        return {kind: [genre] for kind in self.genres}

    def change(self, genres: Genres, before_replacing: Callable[[], None]) -> None:
        """Write genres; what is called before the file is replaced may still raise.

        Raises:
            TagError: it cannot be written, or its audio would not stay the same; the file stays as it is.
        """
        with _telling("written"):
            self._save(genres, before_replacing)
        self.genres = genres

    def _read(self, tags: Any, ape: Any, path: Path) -> Genres:
        genres: Genres = {self._kind: None if tags is None else _genres(tags, self._key)}
        if ape is not None:
            genres[APE] = _genres(ape, "Genre")
        if self._is_wav:
            genres[INFO] = riff_info.read_genre(path)
        return genres

    def _add(self) -> None:
        try:
            self._opened.add_tags()
        except (NotImplementedError, mutagen.MutagenError) as error:
            raise TagError(NO_PLACE) from error

    def _save(self, genres: Genres, before_replacing: Callable[[], None]) -> None:
        with replacing(self._path) as part:
            shutil.copy2(self._path, part)
            if self._is_wav:
                riff_info.copy_with_genre(self._path, part, genres.get(INFO))
            if hasattr(os, "chown"):
                with suppress(PermissionError):
                    os.chown(part, self._path.stat().st_uid, self._path.stat().st_gid)
            self._save_main(genres.get(self._kind), part)
            if self._ape is not None and APE in genres and self._kind != APE:
                _set(self._ape, "Genre", genres[APE] or [])
                self._ape.save(part)
            read = self._read(type(self._opened)(part).tags, None if self._ape is None else _ape(part), part)
            if named(read) != named(genres):  # its structure is damaged
                raise TagError("Its tags are left as they are, since the genre could not be read again.")
            if _packets(part) != _packets(self._path):
                raise TagError("Its tags are left as they are, since its audio would not stay the same.")
            before_replacing()

    def _save_main(self, genres: list[str] | None, part: Path) -> None:
        tags = self._opened.tags
        _set(tags, self._key, genres or [])
        if genres is None and not tags:  # it had no tags, and has no others by now
            self._opened.delete(part)
            return
        options: dict[str, Any] = {}
        if isinstance(tags, ID3) and tags.version == ID3_V23:  # the player in use may know no other
            tags.update_to_v23()
            options = {"v2_version": 3, "v23_sep": None}  # several values stay as they are, and are not joined
        self._opened.save(part, **options)


def named(genres: Genres) -> Genres:
    """Those kinds of tags that have a genre: to have none is as good as to have no tags."""
    return {kind: each for kind, each in genres.items() if each}


@contextmanager
def _telling(verb: str) -> Iterator[None]:
    """Turn what libraries and the system raise into a TagError."""
    try:
        yield
    except (mutagen.MutagenError, av.FFmpegError, ValueError, struct.error, OSError) as error:
        system = next((each for each in (error, *error.args) if isinstance(each, OSError)), None)  # mutagen wraps it
        verb, reason = (verb, system.strerror or system) if system else ("changed", error)
        raise TagError(f"Its tags cannot be {verb}, and are left as they are: {reason}.") from error


def _ape(path: Path) -> Any:
    """The APEv2 tags of a file that has some."""
    try:
        return APEv2(path)
    except APENoHeaderError:
        return None


def _genres(tags: Any, key: str) -> list[str]:
    found = tags.get(key, ())
    return [str(each) for each in (found.text if isinstance(found, TCON) else found)]


def _set(tags: Any, key: str, genres: list[str]) -> None:
    if genres:
        tags[key] = TCON(encoding=ID3_UTF8, text=genres) if isinstance(tags, ID3) else genres
    elif key in tags:
        del tags[key]


def _packets(path: Path) -> bytes:
    """A digest of the encoded audio alone."""
    digest = hashlib.sha256()
    with av.open(str(path), metadata_errors="replace") as container:  # old tags are of any encoding
        for packet in container.demux(audio=0):
            digest.update(bytes(packet))
    return digest.digest()


def tidy(path: Path) -> None:
    """Remove what killed runs have left beside a file, also where its tags need no change."""
    remove_leftovers(path.resolve().parent)
