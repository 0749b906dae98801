"""Files that are whole or not there."""

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from uuid import uuid4

if sys.platform != "win32":
    import fcntl

PART = ".genre-{}.part"  # hidden, and random enough to be no file of a user's
PARTS = re.compile(re.escape(PART).replace(r"\{\}", "[0-9a-f]{32}"))
OWNER_WRITES = stat.S_IRUSR | stat.S_IWUSR
NEW = 0o666  # less the umask, as for any new file


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a file to write, which takes the place of `path` once it is complete and on the disk.

    Until then, what was there before stays whole; where writing fails, nothing remains. The new file keeps the
    permissions of the old one. What killed processes have left in the folder is removed.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    remove_leftovers(path.parent)
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
        part, lock = _create(path.parent, NEW if mode is None else mode & NEW | OWNER_WRITES)
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        yield part
        os.fsync(lock)
        if mode is not None:
            with suppress(OSError):  # a file system without permissions
                part.chmod(mode)
        if sys.platform == "win32":  # where a file that is open cannot be renamed
            os.close(lock)
        part.replace(path)
    except OSError as error:
        if error.filename is None or str(error.filename) == str(part):
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):
            os.close(lock)
        part.unlink(missing_ok=True)


@cache
def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files that killed processes have left in a folder; each folder is searched once.

    A file that a process still writes is locked, and stays; Windows has no such locks, and all stay. Where locks do not
    reach another machine that shares the folder, that machine's file may go: it then reports that it could not write,
    and what was there stays whole.
    """
    with suppress(OSError):  # a folder that cannot be read or changed keeps them
        for path in [path for path in folder.iterdir() if PARTS.fullmatch(path.name)]:
            _remove_unless_locked(path)


def _remove_unless_locked(path: Path) -> None:
    if sys.platform != "win32":
        with suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _create(folder: Path, mode: int) -> tuple[Path, int]:
    """Create an empty file, locked for as long as the handle is open."""
    while True:
        path = folder / PART.format(uuid4().hex)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        if sys.platform != "win32":
            with suppress(OSError):  # without locks, nobody takes the file for a leftover either
                fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return path, handle
        os.close(handle)  # another process removed it before it was locked
