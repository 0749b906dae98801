"""Which files are meant: those that are named, those in folders, and those that a pattern fits."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

# What a folder is searched for; a file that is named is tried whatever its name says.
SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("aac", "aif", "aifc", "aiff", "amr", "ape", "asf", "au", "caf", "flac", "m4a", "m4b", "mka", "mkv", "mov"),
        *("mp2", "mp3", "mp4", "mpga", "oga", "ogg", "ogv", "opus", "snd", "wav", "wave", "webm", "wma", "wv"),
    )
)


def find_files(paths: Sequence[str]) -> list[Path]:
    """The files of what is named, each once, in order.

    Args:
        paths: a file is meant as it is; a folder means the audio files in it and below, by their suffix; and a pattern
            as `glob` has them, `**` for any depth among them, whatever it fits. What is not there is meant as a file,
            so that it can be told of.
    """
    found: dict[Path, None] = {}
    for path in paths:
        fitting = [] if Path(path).exists() else sorted(glob.glob(path, recursive=True))  # noqa: PTH207 (absolute ones)
        for each in fitting or [path]:
            found.update(dict.fromkeys(sorted(_inside(Path(each))) if Path(each).is_dir() else [Path(each)]))
    return list(found)


def _inside(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())


def is_music(output: Path, files: Iterable[Path]) -> bool:
    """Whether an output is one of the files to judge, or is called like one."""
    return output.suffix.lower() in SUFFIXES or output.resolve() in map(Path.resolve, files)
