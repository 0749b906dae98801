"""Keep what native decoders print out of logs and terminals.

libmpg123 writes a line to file descriptor 2 for every damaged frame of an MP3, so one bad file would fill pages. A
program that owns its process (the command line, the service) calls `separate_python_stderr` once. From then on the
descriptor is muted while a decoder runs, and only then, so that a crash report from anywhere else is still seen.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_separate = False  # a library must not touch the descriptor: its user's own messages go there
_decoders = 0
_original = -1


def separate_python_stderr() -> None:
    """Give sys.stderr a descriptor of its own, so that muting descriptor 2 loses nothing that Python writes."""
    global _separate  # noqa: PLW0603 (file descriptor 2 is global too)
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
    _separate = True


@contextmanager
def muted() -> Iterator[None]:
    """Mute descriptor 2 while a native decoder runs; several threads may be inside at a time."""
    global _decoders, _original  # noqa: PLW0603
    if not _separate:
        yield
        return
    with _lock:
        if not _decoders:
            _original = os.dup(2)
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 2)
            os.close(nothing)
        _decoders += 1
    try:
        yield
    finally:
        with _lock:
            _decoders -= 1
            if not _decoders:
                os.dup2(_original, 2)
                os.close(_original)
