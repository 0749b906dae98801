"""The command line, with the stand-in as its model, and a folder to classify."""

import os
import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.audio import encode, tone


@pytest.fixture
def cli(stand_in):
    """Runs the program, checks its exit code, and returns the completed process."""

    def run(*arguments, status=0):
        environment = {**os.environ, "GENRE_MODEL": str(stand_in), "GENRE_PROVIDER": "cpu"}
        command = [sys.executable, "-m", "genre_classifier", *map(str, arguments)]
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == status, result.stderr
        return result

    return run


@pytest.fixture
def music(tmp_path):
    """A folder of two pieces."""
    folder = tmp_path / "music"
    folder.mkdir()
    (folder / "a.wav").write_bytes(encode(tone(4)))
    (folder / "b.flac").write_bytes(encode(tone(4, 110), container="FLAC"))
    return folder
