"""Splits that are published, given as a table, or random by chunk."""

import subprocess
import sys
from collections import Counter

import pytest

from train.data.splits import FAULT_FILTERED, Split, random_chunk_split, read_split
from train.errors import TrainingError


def test_published_split_is_whole():
    split = read_split(FAULT_FILTERED)
    assert split.whole
    assert Counter(split.parts.values()) == {"train": 443, "valid": 197, "test": 290}


@pytest.mark.parametrize(
    "parts",
    [
        {("b, live", None): "test", ('a "quoted" name', None): "train", ("c", None): "valid"},
        {("b", 0): "test", ("b", 1): "train", ("b", 10): "valid", ("c", None): "train"},
    ],
)
def test_a_written_split_is_read_again(tmp_path, parts):
    split = Split(parts)
    (tmp_path / "split.csv").write_text("\ufeff" + split.table(), encoding="utf-8")  # as spreadsheets save it
    assert read_split(tmp_path / "split.csv") == split
    assert read_split(tmp_path / "split.csv").sha256() == split.sha256()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("clip,split\na,train\na,test\n", "lists the clip a twice"),
        ("clip,chunk,split\na,,train\na,1,test\n", "lists the clip a twice"),
        ("clip,chunk,split\na,1,train\na,,test\n", "lists the clip a twice"),
        ("clip,split\na,training\n", "contains the split 'training'"),
        ("name,part\na,train\n", "is not a table"),
    ],
)
def test_a_table_that_is_no_split_is_refused(tmp_path, table, says):
    (tmp_path / "split.csv").write_text(table)
    with pytest.raises(TrainingError, match=says):
        read_split(tmp_path / "split.csv")


def test_random_chunks_divide_clips():
    chunks = [(f"a{clip}", number) for clip in range(40) for number in range(10)]
    split = random_chunk_split(chunks, seed=0)
    assert not split.whole
    assert Counter(split.parts.values()) == {"train": 280, "valid": 60, "test": 60}
    assert split.clips("train") & split.clips("test")  # this protocol leaks
    assert split.part("a0", 3) == split.parts["a0", 3]
    assert split.part("a0", None) is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--split", "nowhere.csv"], "There is no split nowhere.csv"),
        (["--split", "fault-filtered", "--folds", "5"], "need --split artist"),
        (["--split", "artist", "--folds", "2"], "--folds must be at least 3"),
        (["--split", "artist", "--folds", "5", "--fold", "5"], "--fold must be from 0"),
    ],
)
def test_an_impossible_split_is_refused_in_one_sentence(tmp_path, arguments, says):
    command = [sys.executable, "-m", "train", "--data", tmp_path, "--output", tmp_path / "run", *arguments]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_only_a_split_that_divides_recordings_leaks():
    assert not Split({("a", None): "train", ("b", None): "test"}).divides
    assert not Split({("a", 0): "train", ("a", 1): "train", ("b", 0): "test"}).divides
    assert Split({("a", 0): "train", ("a", 1): "test"}).divides
