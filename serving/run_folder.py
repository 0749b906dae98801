"""The folder of one running service: the sockets between its processes, and its metrics.

It lies in the folder of temporary files, only its owner may enter it, and it goes with the service. Those that a killed
service left go when the next one starts.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "genre-service-"
MARK = "made-by-genre-classifier"  # an empty file, by which a folder is known to be ours
FOLDER = "GENRE_RUN_FOLDER"  # the variable by which the processes of a service know theirs


@contextmanager
def own_folder() -> Iterator[Path]:
    """Make a folder for a service that is about to start, and remove it when that has ended.

    Raises:
        OSError: there is no room or no permission for it.
    """
    parent = Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        # Whoever cleans up folders of temporary files leaves those alone that are locked, as we do.
        with _lock(folder):
            (folder / MARK).touch()
            os.environ[FOLDER] = str(folder)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_folder() -> Path:
    """The folder of the service that this process belongs to."""
    return Path(os.environ[FOLDER])


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold a folder as long as this process lives.

    Raises:
        BlockingIOError: another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(parent: Path) -> None:
    """Remove our folders whose makers are gone; those of other users stay, and so does what is no folder of ours."""
    for folder in parent.glob(f"{PREFIX}*"):
        # What is locked, a link, or gone meanwhile raises an error.
        with suppress(OSError), _lock(folder):
            if (folder / MARK).stat().st_uid == os.geteuid():
                shutil.rmtree(folder, ignore_errors=True)
