"""Find the files to classify: those that are named, those in folders, and those that match a pattern."""

import codecs
import glob
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from genre_classifier.audio.suffixes import AUDIO_SUFFIXES

STDIN = "-"  # the name of standard input


def find_files(paths: Sequence[str]) -> list[Path]:
    """List the files that paths mean, each once however it is named, in order.

    Args:
        paths: - means standard input; a file means itself; a folder means the audio files in it and below, by their
            suffix, except hidden ones; a pattern, as `glob` has them with `**` for any depth, means what it matches.
            Missing paths and folders that cannot be read are returned as files and reported later.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if path == STDIN:
            found.setdefault(STDIN, Path(STDIN))
            continue
        matching = [] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))
        for each in matching or [path]:
            for file in _inside(each) if os.path.isdir(each) else [each]:
                named = Path(file)
                found.setdefault(place(file), named.absolute() if str(named) == STDIN else named)
    return list(found.values())


def read_list(name: str) -> list[str]:
    """The paths in a list: one a line, or each ended by a zero byte as `find -print0` does.

    Args:
        name: of the list's file, or - for standard input.

    Raises:
        OSError: it cannot be read.
    """
    content = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    content = content.removeprefix(codecs.BOM_UTF8)  # some editors write it
    lines = content.split(b"\0") if b"\0" in content else content.splitlines()
    return [os.path.join(".", STDIN) if line == STDIN.encode() else os.fsdecode(line) for line in lines if line]


def _inside(folder: str) -> list[str]:
    """The audio files in a folder and below, through links to other folders, and those folders that cannot be read."""
    found: list[str] = []
    closed: list[OSError] = []
    seen = set()  # a link may lead back
    for inside, folders, names in os.walk(folder, onerror=closed.append, followlinks=True):
        here = os.path.realpath(inside)
        seen.add(here)
        new = (name for name in folders if os.path.realpath(os.path.join(here, name)) not in seen)
        folders[:] = sorted(name for name in new if not name.startswith("."))
        music = (name for name in names if os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES)
        found += (os.path.join(inside, name) for name in music if not name.startswith("."))
    return sorted([*found, *(error.filename for error in closed)], key=Path)


def place(file: str) -> str:
    """Where a file lies, whatever path leads there; a link to a file is a file of its own."""
    folder, name = os.path.split(file)
    return os.path.join(os.path.realpath(folder), name)


def is_music(output: Path, files: Iterable[Path]) -> bool:
    """Whether an output that exists is one of the files to classify, by any name or link, or is named like music."""
    names = (output, os.path.realpath(output))
    named_like_it = any(os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES for name in names)
    return named_like_it or inode(output) in map(inode, files)


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths mean one file, which need not exist."""
    there = inode(one)
    return os.path.realpath(one) == os.path.realpath(other) or (there is not None and there == inode(other))


def inode(path: Path) -> tuple[int, int] | None:
    """Device and number of a file, the same by each of its names and links; None where there is no file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # also a name that no file can have
        return None
    return found.st_dev, found.st_ino
