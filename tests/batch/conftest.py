"""A folder of short clips, and a run of `python -m batch`."""

import os
import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.audio import encode, tone
from tests.support.parquet import FILES

CLIPS = 6


@pytest.fixture(scope="session")
def music(tmp_path_factory):
    """300 clips of 3 seconds, links to a few; one is broken, one is a pipe that nobody writes to."""
    folder = tmp_path_factory.mktemp("music")
    clips = tmp_path_factory.mktemp("clips")
    for number in range(CLIPS):
        (clips / f"{number}.wav").write_bytes(encode(tone(3, 110 * (number + 1))))
    for number in range(FILES - 2):
        (folder / f"{number:04d}.wav").hardlink_to(clips / f"{number % CLIPS}.wav")
    (folder / "broken.mp3").write_bytes(b"no music" * 100)
    os.mkfifo(folder / "pipe.wav")
    return folder


@pytest.fixture(scope="session")
def batch(stand_in):
    """Run the command line; its process."""

    def run(*arguments, code=0, **variables):
        environment = {**os.environ, "GENRE_MODEL": str(stand_in), "GENRE_PROVIDER": "cpu", **variables}
        command = [sys.executable, "-m", "batch", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done

    return run
