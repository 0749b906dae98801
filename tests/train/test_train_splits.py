"""Which clips train, choose and test: what is published, what is given, by artist, and at random."""

import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio import SAMPLE_RATE, decode
from export.signals import chord
from train.assign import without_copies
from train.data import Clip
from train.duplicates import find_duplicates
from train.errors import TrainingError
from train.folds import artist_folds, artist_groups
from train.splits import FAULT_FILTERED, Split, random_chunks, read_split


def clips(*counts):
    """As many clips of each genre, a first genre's called a0, a1, ..."""
    return [
        Clip(f"{genre}{n}", genre, Path()) for genre, count in zip("abcdef", counts, strict=False) for n in range(count)
    ]


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
def test_a_split_can_be_given_back(tmp_path, parts):
    split = Split(parts)
    (tmp_path / "split.csv").write_text("\ufeff" + split.table(), encoding="utf-8")  # as spreadsheets save it
    assert read_split(tmp_path / "split.csv") == split
    assert read_split(tmp_path / "split.csv").sha256() == split.sha256()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("clip,split\na,train\na,test\n", "names the clip a twice"),
        ("clip,chunk,split\na,,train\na,1,test\n", "names the clip a twice"),
        ("clip,chunk,split\na,1,train\na,,test\n", "names the clip a twice"),
        ("clip,split\na,training\n", "holds the split 'training'"),
        ("name,part\na,train\n", "is not a table"),
    ],
)
def test_a_table_that_splits_nothing(tmp_path, table, says):
    (tmp_path / "split.csv").write_text(table)
    with pytest.raises(TrainingError, match=says):
        read_split(tmp_path / "split.csv")


def test_every_clip_is_tested_once_and_no_artist_twice(tmp_path):
    every = clips(30, 20, 12)
    index = tmp_path / "artists.csv"
    rows = [f"{clip.name},{'Ann  B' if n % 2 else 'ann b'}\n" for n, clip in enumerate(every[:6])]
    rows += [f"{clip.name},Cee\n" for clip in every[25:33]]  # of two genres
    index.write_text("clip,artist\n" + "".join(rows) + f"{every[40].name},\n")
    groups = artist_groups(every, index, duplicates=[(50, 51), (51, 10)])
    assert len(set(groups)) == len(every) - 5 - 7 - 2
    weights = [10] * len(every)
    folds = artist_folds(every, weights, groups, 5, seed=3)
    assert folds == artist_folds(every, weights, groups, 5, seed=3)
    assert folds != artist_folds(every, weights, groups, 5, seed=4)
    tested = [fold.clips("test") for fold in folds]
    assert sorted(name for names in tested for name in names) == sorted(clip.name for clip in every)
    assert [fold.clips("valid") for fold in folds] == tested[1:] + tested[:1]
    part_of = [{name: part for (name, _), part in fold.parts.items()} for fold in folds]
    for fold in part_of:
        for group in set(groups):
            assert len({fold[clip.name] for clip, each in zip(every, groups, strict=True) if each == group}) == 1
    # As equal as the groups allow: each genre's fifth, give or take its largest group.
    for genre, count, largest in (("a", 30, 8), ("b", 20, 8), ("c", 12, 3)):
        sizes = [sum(name.startswith(genre) for name in names) for names in tested]
        assert max(sizes) - count / 5 <= largest, sizes
        assert min(sizes) > 0


def test_an_index_that_names_no_clip_is_refused(tmp_path):
    (tmp_path / "artists.csv").write_text("clip,artist\na0.wav,Ann\n")
    with pytest.raises(TrainingError, match="names none of these clips"):
        artist_groups(clips(3), tmp_path / "artists.csv", [])


def test_unknown_artists_are_told(capsys):
    artist_groups(clips(3), None, [])
    assert "artists of 3 of 3 clips are not known" in capsys.readouterr().err


def test_too_few_artists_make_no_folds():
    every = clips(4)
    with pytest.raises(TrainingError, match="of 2 artists, too few for 3 folds"):
        artist_folds(every, [1] * 4, [0, 0, 1, 1], 3, seed=0)


def test_random_chunks_divide_clips():
    chunks = [(f"a{clip}", number) for clip in range(40) for number in range(10)]
    split = random_chunks(chunks, seed=0)
    assert not split.whole
    assert Counter(split.parts.values()) == {"train": 280, "valid": 60, "test": 60}
    assert split.clips("train") & split.clips("test")  # the leak that it is there to show
    assert split.part("a0", 3) == split.parts["a0", 3]
    assert split.part("a0", None) is None


def piece(rng):
    """Twenty seconds of notes and noise bursts at random, as no two pieces share them."""
    seconds = np.arange(20 * SAMPLE_RATE) / SAMPLE_RATE
    tune = np.zeros(len(seconds))
    for start in rng.uniform(0, 20, 80):
        since = np.maximum(seconds - start, 0)
        note = np.sin(2 * np.pi * rng.uniform(200, 2000) * since) * np.exp(-3 * since) * (seconds > start)
        tune += note + 0.1 * rng.standard_normal(len(seconds)) * np.exp(-30 * since) * (seconds > start)
    return (0.1 * tune).astype(np.float32)


def test_the_same_recording_is_found_in_another_excerpt():
    rng = np.random.default_rng(0)
    one, other = piece(rng), piece(rng)
    cut = one[512 * 130 + 256 : 512 * 130 + 256 + 9 * SAMPLE_RATE]  # half a usual hop beside any grid
    encoded = io.BytesIO()
    soundfile.write(encoded, 0.3 * one[5 * SAMPLE_RATE :], SAMPLE_RATE, format="MP3")
    worn = decode(encoded.getvalue()).waveform
    waveforms = [one, other, cut, worn, chord(440.0).astype(np.float32), np.zeros(100, np.float32)]
    assert find_duplicates(waveforms) == [(0, 2), (0, 3), (2, 3)]


@pytest.mark.gtzan
def test_recordings_that_gtzan_holds_twice(data):
    twice = ("jazz.00033", "jazz.00051", "metal.00042", "metal.00063", "pop.00047", "pop.00080")
    once = ("jazz.00001", "metal.00004", "metal.00013", "pop.00016", "pop.00017", "disco.00001")
    names = [*twice, *once]
    waveforms = [decode(data / "gtzan" / name.split(".")[0] / f"{name}.ogg").waveform for name in names]
    found = [(names[one], names[other]) for one, other in find_duplicates(waveforms)]
    assert found == list(zip(twice[::2], twice[1::2], strict=True))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--split", "nowhere.csv"], "There is no split nowhere.csv"),
        (["--folds", "5"], "go with --split artist"),
        (["--split", "artist", "--folds", "2"], "--folds must be at least 3"),
        (["--split", "artist", "--folds", "5", "--fold", "5"], "--fold must be from 0"),
    ],
)
def test_a_split_that_cannot_be(tmp_path, arguments, says):
    command = [sys.executable, "-m", "train", "--data", tmp_path, "--output", tmp_path / "run", *arguments]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_of_a_recording_in_three_parts_the_last_stays(capsys):
    """Also where the first and the last have nothing in common but the one between."""
    rng = np.random.default_rng(0)
    music, second = piece(rng)[: 13 * SAMPLE_RATE], SAMPLE_RATE
    named = [Clip(name, "a", Path()) for name in ("first", "middle", "end", "other")]
    waveforms = [music[: 6 * second], music[3 * second : 10 * second], music[7 * second :], piece(rng)[: 5 * second]]
    split = Split(
        {("first", None): "train", ("middle", None): "valid", ("end", None): "test", ("other", None): "train"}
    )
    left = without_copies(split, named, waveforms)
    assert left.parts == {("end", None): "test", ("other", None): "train"}
    assert "left out: first, the same recording as end, which is for test" in capsys.readouterr().out


def test_only_a_split_that_divides_recordings_leaks():
    assert not Split({("a", None): "train", ("b", None): "test"}).divides
    assert not Split({("a", 0): "train", ("a", 1): "train", ("b", 0): "test"}).divides
    assert Split({("a", 0): "train", ("a", 1): "test"}).divides
