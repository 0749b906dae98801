"""`bentoml serve` says in a sentence that its home cannot be written; by itself it shows a traceback.

BentoML makes its home before it imports any service. All that it imports earlier is what installed packages add to its
commands (the entry points `bentoml.commands`), so this package adds a hidden one, for the sake of the check.
"""

import os
import sys
from pathlib import Path

import click

FOLDERS = "bentos", "models", "envs", "tmp"  # what BentoML makes in its home


def _check_home() -> None:
    named = os.environ.get("BENTOML_HOME", "~/bentoml")
    home = Path(os.path.expanduser(os.path.expandvars(named)))  # noqa: PTH111 (no error where nobody has a home)
    try:
        for folder in FOLDERS:
            (home / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"BentoML's home {home} cannot be written: {error.strerror}. Set BENTOML_HOME to a folder that can.")


if "serve" in sys.argv:
    _check_home()


@click.command("genre-classifier", hidden=True)
def command() -> None:
    """Do nothing."""
