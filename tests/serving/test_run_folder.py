"""A service's folder: closed to others, gone with the service, and gone after the next start where it was killed."""

import os
import stat
import subprocess
import sys
import tempfile

import pytest

from serving.run_folder import MARK, PREFIX, own_folder
from tests.support import ROOT

HOLD = "from serving.run_folder import own_folder\nwith own_folder() as f: print(f, flush=True); input()"


@pytest.fixture
def parent(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def hold(parent):
    environment = {**os.environ, "TMPDIR": str(parent)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLD], cwd=ROOT, env=environment, **pipes)
    process.stdout.readline()
    return process


def test_it_is_for_its_owner_alone_and_goes(parent):
    with own_folder() as folder:
        assert folder.parent == parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "control").touch()
    assert not list(parent.iterdir())


def test_that_of_a_killed_service_goes_and_that_of_a_living_one_stays(parent):
    killed, living = hold(parent), hold(parent)
    try:
        killed.kill()
        killed.wait()
        assert len(list(parent.iterdir())) == 2
        with own_folder():
            assert len(list(parent.iterdir())) == 2
        assert len(list(parent.iterdir())) == 1
    finally:
        living.communicate("\n")
    assert not list(parent.iterdir())


def test_what_is_not_ours_stays(parent, tmp_path_factory):
    (parent / f"{PREFIX}notes").mkdir()  # no mark in it
    (parent / f"{PREFIX}song").write_bytes(b"a file")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / MARK).touch()
    (parent / f"{PREFIX}link").symlink_to(elsewhere)
    with own_folder():
        pass
    assert len(list(parent.iterdir())) == 3
    assert (elsewhere / MARK).exists()
