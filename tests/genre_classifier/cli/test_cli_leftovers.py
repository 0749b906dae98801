"""Temporary files: nobody else's names, and those of a killed run go with the next one."""

import fcntl
import signal
import stat
import subprocess
import sys

from tests.support import ROOT
from tests.support.audio import encode, tone

LEFTOVER = f".genre-{'0' * 32}.part"


def test_temporary_files_are_nobody_else_s(cli, music, tmp_path):
    (tmp_path / "u.npz.part").write_text("mine")
    cli("--embeddings", tmp_path / "u.npz", music)
    assert (tmp_path / "u.npz.part").read_text() == "mine"
    assert stat.S_IMODE((tmp_path / "u.npz").stat().st_mode) == stat.S_IMODE((tmp_path / "u.npz.part").stat().st_mode)
    (tmp_path / "u.npz").chmod(0o640)
    cli("--embeddings", tmp_path / "u.npz", music)
    assert stat.S_IMODE((tmp_path / "u.npz").stat().st_mode) == 0o640
    assert {path.name for path in tmp_path.iterdir()} == {"music", "u.npz", "u.npz.part"}


def test_leftovers_go_with_the_next_run(cli, music, tmp_path):
    theirs = [music / ".genre-mine.part", music / "x.part", tmp_path / ".genre-.part"]
    ours = [music / LEFTOVER, tmp_path / LEFTOVER]
    for path in (*theirs, *ours):
        path.write_bytes(b"half of it")
    written = music / f".genre-{'1' * 32}.part"
    with written.open("wb") as file:  # by another run, at the same time
        fcntl.flock(file, fcntl.LOCK_EX)
        cli("--write-tags", "--embeddings", tmp_path / "u.npz", music)
        assert [path for path in (*theirs, *ours, written) if path.exists()] == [*theirs, written]
    cli("--write-tags", music)  # the tags need no change
    assert not written.exists()


def test_a_killed_run_leaves_nothing_after_the_next(cli, tmp_path):
    (tmp_path / "song.wav").write_bytes(encode(tone(3)))
    program = (
        "import os, signal, sys; from pathlib import Path; from genre_classifier.cli import genre_tags\n"
        "genre_tags.shutil.copy2 = lambda _, part: (part.write_bytes(b'half'), os.kill(os.getpid(), signal.SIGKILL))\n"
        "tags = genre_tags.GenreTags(Path(sys.argv[1]))\n"
        "tags.change(tags.with_genre('jazz'), lambda: None)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "song.wav")]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    cli("--write-tags", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["song.wav"]
