"""Which files are meant: those that are named, those in folders, and those that a pattern fits."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

# What a folder is searched for; a file that is named is tried whatever its name says.
SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("aac", "aif", "aifc", "aiff", "amr", "ape", "asf", "au", "caf", "flac", "m4a", "m4b", "mka", "mkv", "mov"),
        *("mp2", "mp3", "mp4", "mpga", "oga", "ogg", "ogv", "opus", "snd", "wav", "wave", "weba", "webm", "wma", "wv"),
    )
)


def find_files(paths: Sequence[str]) -> list[Path]:
    """The files of what is named, each once however it is named, in order.

    Args:
        paths: a file is meant as it is; a folder means the audio files in it and below, by their suffix, but for hidden
            ones; and a pattern as `glob` has them, `**` for any depth among them, whatever it fits. What is not there,
            or cannot be looked into, is meant as a file, so that it can be told of.
    """
    found: dict[str, Path] = {}
    for path in paths:
        fitting = [] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))
        for each in fitting or [path]:
            for file in _inside(each) if os.path.isdir(each) else [each]:
                found.setdefault(_place(file), Path(file))
    return list(found.values())


def _inside(folder: str) -> list[str]:
    """The audio files in a folder and below, through links to other folders, and those folders that cannot be read."""
    found: list[str] = []
    closed: list[OSError] = []
    seen = set()  # for a link may lead back
    for inside, folders, names in os.walk(folder, onerror=closed.append, followlinks=True):
        here = os.path.realpath(inside)
        seen.add(here)
        new = (name for name in folders if os.path.realpath(os.path.join(here, name)) not in seen)
        folders[:] = sorted(name for name in new if not name.startswith("."))
        music = (name for name in names if os.path.splitext(name)[1].lower() in SUFFIXES)
        found += (os.path.join(inside, name) for name in music if not name.startswith("."))
    return sorted([*found, *(error.filename for error in closed)], key=Path)


def _place(file: str) -> str:
    """Where a file lies, whichever way there was named; a link to a file is a file of its own."""
    folder, name = os.path.split(file)
    return os.path.join(os.path.realpath(folder), name)


def is_music(output: Path, files: Iterable[Path]) -> bool:
    """Whether an output is one of the files to judge, or is called like one."""
    return output.suffix.lower() in SUFFIXES or output.resolve() in map(Path.resolve, files)
