"""Find the files to classify: those that are named, those in folders, and those that match a pattern."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from genre_classifier.audio.suffixes import AUDIO_SUFFIXES


def find_files(paths: Sequence[str]) -> list[Path]:
    """List the files that paths mean, each once however it is named, in order.

    Args:
        paths: a file means itself; a folder means the audio files in it and below, by their suffix, except hidden
            ones; a pattern, as `glob` has them with `**` for any depth, means whatever it matches. Missing paths and
            folders that cannot be read are returned as files and reported later.
    """
    found: dict[str, Path] = {}
    for path in paths:
        matching = [] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))
        for each in matching or [path]:
            for file in _inside(each) if os.path.isdir(each) else [each]:
                found.setdefault(_place(file), Path(file))
    return list(found.values())


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


def _place(file: str) -> str:
    """Where a file lies, whatever path leads there; a link to a file is a file of its own."""
    folder, name = os.path.split(file)
    return os.path.join(os.path.realpath(folder), name)


def is_music(output: Path, files: Iterable[Path]) -> bool:
    """Whether an output is one of the files to classify, or is named like one."""
    return output.suffix.lower() in AUDIO_SUFFIXES or output.resolve() in map(Path.resolve, files)
