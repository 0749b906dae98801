"""The error that a user of training and export can fix, and the exit codes of their command lines."""

import errno
import sys
import threading
from collections.abc import Callable

FAILED, USAGE_ERROR, INTERRUPTED = 1, 2, 130
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # nothing that the user asked for is wrong


class TrainingError(Exception):
    """One sentence for a person; a command line prints it and exits with `exit_code`."""

    exit_code = USAGE_ERROR


def exit_code(program: str, run: Callable[[], None], when_stopped: Callable[[], str] | None = None) -> int:
    """Run a command and return its exit code; errors are printed on standard error as one sentence.

    Returns:
        0, the error's own code (2, unless it says otherwise), 1 if the disk is full or fails, or 130 if the user
        stopped the program.
    """
    report = threading.excepthook
    threading.excepthook = _report_unless_told
    try:
        run()
    except TrainingError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # A file instead of a folder, no permission, a full disk: the system's message is the clearest.
        print(f"{program}: {error.filename or 'The disk'}: {error.strerror or error}.", file=sys.stderr)
        return FAILED if error.errno in DISK_ERRORS else USAGE_ERROR
    except KeyboardInterrupt:
        print(f"\n{program}: {when_stopped() if when_stopped else 'stopped.'}", file=sys.stderr)
        return INTERRUPTED
    finally:
        threading.excepthook = report
    return 0


def _report_unless_told(ended: threading.ExceptHookArgs) -> None:
    """Report a crash of a thread, but not of TensorBoard's by the disk, which the main thread tells."""
    if not isinstance(ended.exc_value, OSError):
        threading.__excepthook__(ended)
