"""The split that is chosen for a folder: the published lists, by folders of artists, or by recording."""

from pathlib import Path

import numpy as np
import pytest

from train.config import SplitConfig
from train.data import loading
from train.data.clips import Clip
from train.data.loading import choose_split, decode_and_split
from train.data.splits import FAULT_FILTERED, PARTS, read_split

AUTO = SplitConfig()


@pytest.fixture
def decoded(monkeypatch):
    """Clips count as decoded, to noise of seven seconds each."""
    rng = np.random.default_rng(0)
    noise = [rng.standard_normal(150_000).astype(np.float32) for _ in range(60)]

    def decode(clips):
        return list(clips), noise[: len(clips)]

    monkeypatch.setattr(loading, "decode_clips", decode)
    monkeypatch.setattr(loading, "find_duplicates", lambda _: [])


def clips_of(folders):
    """Clips of each genre, given how many each of its folders holds; "" is the genre's own folder."""
    return [
        Clip(f"{genre}/{folder}/{number}", genre, Path(), folder)
        for genre, each in folders.items()
        for folder, count in each.items()
        for number in range(count)
    ]


def parts_of(clips, splits):
    (split,) = splits
    return {part: [clip for clip in clips if clip.name in split.clips(part)] for part in PARTS}


def test_auto_takes_the_published_lists_for_gtzan():
    names = sorted({clip for clip, _ in read_split(FAULT_FILTERED).parts})
    gtzan = [Clip(name, name.split(".")[0], Path()) for name in names]
    faulty = [Clip(f"blues.{number}", "blues", Path()) for number in range(300)]
    assert choose_split(gtzan + faulty, AUTO).split == "fault-filtered"
    # Not with a genre that the lists do not have, nor for a few names that are GTZAN's by chance.
    assert choose_split([*gtzan, Clip("one", "polka", Path())], AUTO).split == "auto"
    assert choose_split(gtzan[:100] + [Clip(str(n), "blues", Path()) for n in range(101)], AUTO).split == "auto"
    for given in (SplitConfig("artist"), SplitConfig("random-chunk"), SplitConfig("auto", folds=5)):
        assert choose_split(gtzan, given) is given


def test_auto_keeps_folders_together(decoded, capsys):
    folders = {genre: {f"{genre} artist {number}": 3 for number in range(5)} for genre in ("a", "b", "c")}
    folders["a"]["shared"] = folders["b"]["shared"] = 2  # an artist of two genres
    clips = clips_of(folders)
    parts = parts_of(clips, decode_and_split(clips, AUTO)[2])
    assert "by the folders" in capsys.readouterr().out
    for part, inside in parts.items():
        others = {clip.folder for other, each in parts.items() if other != part for clip in each}
        assert {clip.genre for clip in inside} == {"a", "b", "c"}
        assert not {clip.folder for clip in inside} & others
    assert len(parts["train"]) > len(parts["test"])


def test_auto_takes_three_folders(decoded):
    """One folder of each genre tests, one validates, one trains."""
    clips = clips_of({genre: {f"{genre} album {number}": 4 for number in range(3)} for genre in ("a", "b")})
    parts = parts_of(clips, decode_and_split(clips, AUTO)[2])
    assert {part: len({clip.folder for clip in each}) for part, each in parts.items()} == dict.fromkeys(PARTS, 2)
    assert all(len(each) == 8 for each in parts.values())


@pytest.mark.parametrize("folders", [{"": 10}, {"only album": 10}, {"one": 5, "two": 5}])
def test_auto_splits_by_recording_without_enough_folders(decoded, folders, capsys):
    clips = clips_of({"a": folders, "b": folders})
    parts = parts_of(clips, decode_and_split(clips, AUTO)[2])
    assert "by recording" in capsys.readouterr().out
    assert {part: len(each) for part, each in parts.items()} == {"train": 12, "valid": 4, "test": 4}
    assert all({clip.genre for clip in each} == {"a", "b"} for each in parts.values())
