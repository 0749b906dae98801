"""The error that a user of training and export can fix, and the exit codes of their command lines."""

import sys
from collections.abc import Callable

USAGE_ERROR, INTERRUPTED = 2, 130


class TrainingError(Exception):
    """One sentence for a person; a command line prints it and exits with `exit_code`."""

    exit_code = USAGE_ERROR


def exit_code(program: str, run: Callable[[], None], when_stopped: Callable[[], str] | None = None) -> int:
    """Run a command and return its exit code; errors are printed on standard error as one sentence.

    Returns:
        0, the error's own code (2, unless it says otherwise), or 130 if the user stopped the program.
    """
    try:
        run()
    except TrainingError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # A file instead of a folder, no permission, a full disk: the system's message is the clearest.
        print(f"{program}: {error.filename or 'The disk'}: {error.strerror or error}.", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print(f"\n{program}: {when_stopped() if when_stopped else 'stopped.'}", file=sys.stderr)
        return INTERRUPTED
    return 0
