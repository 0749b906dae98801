"""The repository's own files, and copies to build from."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT


def repository_files(*folders: str) -> set[str]:
    """Names of the files that git tracks, or would once they are added, below the folders or anywhere.

    Skips the test where this is no clone, or where git is missing.
    """
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("only a clone and git tell which files belong to the repository")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders]
    names = subprocess.check_output(command, cwd=ROOT, text=True).split("\0")
    return {name for name in names if name and (ROOT / name).is_file()}


def copy_sources(target: Path) -> Path:
    """A copy of what wheel, sdist and bento are built from: building writes beside its sources."""
    target.mkdir()
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, target)
    for folder in ("artifacts", "genre_classifier", "requirements", "serving"):
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return target
