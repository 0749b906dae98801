"""What C libraries say of a file they decode does not belong into the log, nor onto the terminal."""

import os
import sys


def mute_libraries() -> None:
    """Give Python's standard error a descriptor of its own, and let nothing come of what is written to the usual one.

    libmpg123, for one, writes a line for every damaged frame of an MP3: a single bad file would fill pages.
    """
    sys.stderr.flush()
    own = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)
    sys.stderr = own
