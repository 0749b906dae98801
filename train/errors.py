"""What goes wrong in training and export and is the user's to mend, and how a command line says so."""

import sys
from collections.abc import Callable

WRONG_USE, INTERRUPTED = 2, 130


class TrainingError(Exception):
    """A sentence for a person; a command line prints it and exits with 2."""


def exit_code(program: str, run: Callable[[], bool | None], when_stopped: Callable[[], str] | None = None) -> int:
    """Runs a command: 0, 1 where it returns False, 2 with a sentence, or 130 with one where the user stopped it."""
    try:
        return 1 if run() is False else 0
    except TrainingError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return WRONG_USE
    except OSError as error:
        # A folder that is a file, no permission, a full disk: the system's own words say it best.
        print(f"{program}: {error.filename or 'The disk'}: {error.strerror or error}.", file=sys.stderr)
        return WRONG_USE
    except KeyboardInterrupt:
        print(f"\n{program}: {when_stopped() if when_stopped else 'stopped.'}", file=sys.stderr)
        return INTERRUPTED
