"""Shards on one machine: every file has one row, and a part that exists is left alone."""

import csv
import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from batch.parts import Output
from batch.rows import SCHEMA
from tests.support import ROOT
from tests.support.parquet import FILES, inodes, read, without_time
from tests.support.stand_in import write_stand_in

PARTS = ("--files-per-part", "40")


def test_every_file_has_its_row(batch, music, tmp_path):
    done = batch(music, tmp_path / "out", *PARTS)
    rows = read(tmp_path / "out")
    assert len(rows) == FILES
    errors = {uri.rpartition("/")[2]: row["error_kind"] for uri, row in rows.items() if row["error"]}
    assert errors == {"broken.mp3": "undecodable", "pipe.wav": "missing"}
    good = rows[str(music / "0000.wav")]
    assert good["genre"] == max(good["votes"], key=lambda vote: vote[1])[0]
    assert len(good["embedding"]) == 128
    assert f"{FILES} rows" in done.stdout
    before = inodes(tmp_path / "out")
    assert batch(music, tmp_path / "out", *PARTS).stdout.startswith("0 rows")
    assert inodes(tmp_path / "out") == before


def test_shards_make_the_same_rows(batch, music, tmp_path):
    batch(music, tmp_path / "whole", *PARTS)
    for index in range(3):
        batch(music, tmp_path / "shards", *PARTS, "--shard", f"{index}/3")
    assert inodes(tmp_path / "shards").keys() == inodes(tmp_path / "whole").keys()
    assert without_time(read(tmp_path / "shards")) == without_time(read(tmp_path / "whole"))


def test_another_list_is_noticed(batch, music, tmp_path):
    files = tmp_path / "list.csv"

    def write(names):
        with files.open("w", newline="") as file:
            csv.writer(file).writerows([("uri", "id"), *((music / name, name[:4]) for name in names)])

    write([f"{number:04d}.wav" for number in range(20)])
    batch(files, tmp_path / "out", "--files-per-part", "10")
    before = inodes(tmp_path / "out")
    assert read(tmp_path / "out")[str(music / "0003.wav")]["id"] == "0003"
    write([*(f"{number:04d}.wav" for number in range(15)), "nothing.wav"])
    assert "--prune" in batch(files, tmp_path / "out", "--files-per-part", "10", code=2).stderr
    assert inodes(tmp_path / "out") == before
    batch(files, tmp_path / "out", "--files-per-part", "10", "--prune")
    assert len(read(tmp_path / "out")) == 16
    assert len(before.items() & inodes(tmp_path / "out").items()) == 1


def test_a_new_model_writes_beside_the_old_one(batch, music, tmp_path):
    batch(music, tmp_path / "out", "--files-per-part", "100")
    before = inodes(tmp_path / "out")
    newer = write_stand_in(tmp_path / "newer.onnx", metadata={"version": "newer"})
    batch(music, tmp_path / "out", "--files-per-part", "100", "--model", newer)
    after = inodes(tmp_path / "out")
    assert before.items() < after.items()
    assert len(after) == 2 * len(before)


def test_wrong_use_is_one_sentence(batch, music, tmp_path):
    for arguments in ((tmp_path / "none", tmp_path / "out"), ("s3://key:secret@bucket/a", tmp_path / "out")):
        error = batch(*arguments, code=2).stderr
        assert error.count("\n") == 1
    for option, value in (("--shard", "3/3"), ("--actors", "2"), ("--gpus-per-actor", "1")):
        batch(music, tmp_path / "out", option, value, code=2)


def test_an_output_that_cannot_be_written_is_told_before_the_work(batch, music, tmp_path):
    (tmp_path / "file").touch()
    for output in (tmp_path / "file" / "out", "/proc/nothing"):
        done = batch(music, output, code=2)
        assert done.stderr.count("\n") == 1
        assert not done.stdout


def test_a_part_that_cannot_be_written_leaves_nothing(stand_in, tmp_path, monkeypatch):
    output = Output(str(tmp_path / "out"))
    output.check()
    assert not list((tmp_path / "out").iterdir())

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output, "_rename", fail)
    with pytest.raises(OSError, match="No space"):
        output.write("part", [], SCHEMA)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_whole_parts_and_goes_on(batch, music, stand_in, tmp_path, number):
    output, temporary = tmp_path / "out", tmp_path / "temporary"
    temporary.mkdir()
    variables = {"GENRE_MODEL": str(stand_in), "GENRE_PROVIDER": "cpu", "TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "batch", music, output, "--files-per-part", "10"]
    run = subprocess.Popen(
        [*map(str, command)], cwd=ROOT, env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True
    )
    while not inodes(output):
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(number)
    _, said = run.communicate()
    assert run.returncode == 130
    assert said == "\nInterrupted. Whole parts are kept: the same command goes on from them.\n"
    assert not list(temporary.iterdir())
    before = inodes(output)
    assert 0 < len(before) < FILES // 10
    batch(music, output, "--files-per-part", "10")
    assert before.items() < inodes(output).items()
    assert len(read(output)) == FILES
