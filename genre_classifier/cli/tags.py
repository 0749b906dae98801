"""Write a genre into a music file's own tags without losing any of its music.

The tags are changed in a copy beside the file. The copy takes the file's name only when it is on the disk and holds the
same encoded audio, packet by packet.
"""

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import mutagen
from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.id3 import ID3, TCON
from mutagen.mp4 import MP4Tags

from genre_classifier.atomic import remove_leftovers, replacing
from genre_classifier.classifier import Analysis
from genre_classifier.cli.results import TagError

NO_PLACE = "This format has no place for a genre: its tags are left as they are."
ID3_UTF8, ID3_V23 = 3, (2, 3, 0)


class Tags:
    """The genre tags of files."""

    def __init__(self, done: frozenset[str]) -> None:
        """`done` are files of an earlier run, which are skipped."""
        self.done = done

    def write(self, file: str, analysis: Analysis) -> None:
        """Write a file's genre into its tags and replace the one there.

        Raises:
            TagError: the file stays as it is.
        """
        write_genre(Path(file), analysis.verdict.genre)


def write_genre(path: Path, genre: str) -> None:
    """Set the genre in a music file's tags: ID3, Vorbis comment, MP4, ASF or APEv2.

    Raises:
        TagError: the file's format has no place for it, or it cannot be written; the file stays as it is.
    """
    path = path.resolve()  # a link stays a link
    remove_leftovers(path.parent)  # also where this file's tags need no change
    try:
        opened = mutagen.File(path)
        if opened is None:
            raise TagError(NO_PLACE)
        if opened.tags is None:
            _add_tags(opened)
        if _set(opened.tags, genre):
            _save(opened, path)
    except (mutagen.MutagenError, av.FFmpegError) as error:
        raise TagError(f"Its tags cannot be changed, and are left as they are: {error}.") from error
    except OSError as error:
        raise TagError(f"Its tags cannot be written, and are left as they are: {error.strerror or error}.") from error


def _add_tags(opened: Any) -> None:
    try:
        opened.add_tags()
    except (NotImplementedError, mutagen.MutagenError) as error:
        raise TagError(NO_PLACE) from error


def _set(tags: Any, genre: str) -> bool:
    """Set the genre in tags of any kind; whether that changes them."""
    # Anything else is a Vorbis comment: mutagen has no public name for all of its kinds.
    kinds = {ID3: "TCON", MP4Tags: "\xa9gen", ASFTags: "WM/Genre", APEv2: "Genre"}
    key = next((key for kind, key in kinds.items() if isinstance(tags, kind)), "genre")
    if [str(each) for each in tags.get(key, ())] == [genre]:
        return False
    tags[key] = TCON(encoding=ID3_UTF8, text=[genre]) if isinstance(tags, ID3) else [genre]
    return True


def _save(opened: Any, path: Path) -> None:
    """Save changed tags in a copy, and replace the file by it."""
    options = {}
    if isinstance(opened.tags, ID3) and opened.tags.version == ID3_V23:  # the player in use may know no other
        opened.tags.update_to_v23()
        options["v2_version"] = 3
    with replacing(path) as part:
        shutil.copy2(path, part)
        if hasattr(os, "chown"):
            with suppress(PermissionError):
                os.chown(part, path.stat().st_uid, path.stat().st_gid)
        opened.save(part, **options)
        if _packets(part) != _packets(path):
            raise TagError("Its tags are left as they are, since its audio would not stay the same.")


def _packets(path: Path) -> bytes:
    """A digest of the encoded audio alone."""
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            digest.update(bytes(packet))
    return digest.digest()
