"""The report of a whole output: held against its rows, read by themselves."""

import subprocess
import sys
from collections import Counter

import pytest

from tests.support import ROOT
from tests.support.parquet import read
from tests.support.stand_in import write_stand_in


def report(*arguments, code=0):
    command = [sys.executable, "-m", "batch.report", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_the_table_says_what_the_rows_say(batch, music, tmp_path):
    files = tmp_path / "list.txt"
    names = [*(f"{number:04d}.wav" for number in range(12)), "broken.mp3", "nowhere.mp3"]
    files.write_text("\n".join(str(music / name) for name in names))
    batch(files, tmp_path / "out", "--files-per-part", "5")
    rows = read(tmp_path / "out").values()
    picture = tmp_path / "picture.png"
    heading, *lines = report(tmp_path / "out", "--picture", picture).stdout.splitlines()
    assert heading == "Model stand-in: 14 files, 0.0 hours of music."
    confidences = [row["confidence"] for row in rows if row["genre"]]
    (mean,) = (line for line in lines if line.startswith("mean confidence "))
    assert float(mean.rpartition(" ")[2]) == pytest.approx(sum(confidences) / len(confidences), abs=0.001)
    counted = [line for line in lines if line != mean]
    told = {name.strip(): int(count) for name, count, _ in (line.rsplit(maxsplit=2) for line in counted)}
    genres = Counter(row["genre"] for row in rows if row["genre"])
    errors = Counter(f"error: {row['error_kind']}" for row in rows if row["error"])
    assert errors.total() == 2
    assert told == {**genres, **errors, "uncertain": sum(bool(row["uncertain"]) for row in rows)}
    assert picture.read_bytes().startswith(b"\x89PNG")

    newer = write_stand_in(tmp_path / "newer.onnx", metadata={"version": "newer"})
    batch(files, tmp_path / "out", "--files-per-part", "5", "--model", newer)
    assert report(tmp_path / "out", "--picture", picture).stdout.startswith("Model newer: 14 files")
    older = report(tmp_path / "out", "--picture", picture, "--model-version", "stand-in").stdout
    assert older.splitlines() == [heading, *lines]


def test_nothing_to_report_is_one_sentence(tmp_path):
    assert report(tmp_path, code=2).stderr == "There are no parts by this model in OUTPUT.\n"
