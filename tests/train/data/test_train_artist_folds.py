"""Cross-validation folds in which no artist is in two parts."""

from pathlib import Path

import pytest

from train.data.artist_folds import artist_folds, artist_groups
from train.data.clips import Clip
from train.errors import TrainingError


def clips(*counts):
    """As many clips of each genre, a first genre's called a0, a1, ..."""
    return [
        Clip(f"{genre}{n}", genre, Path()) for genre, count in zip("abcdef", counts, strict=False) for n in range(count)
    ]


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


def test_an_index_that_lists_no_clip_is_refused(tmp_path):
    (tmp_path / "artists.csv").write_text("clip,artist\na0.wav,Ann\n")
    with pytest.raises(TrainingError, match="lists none of these clips"):
        artist_groups(clips(3), tmp_path / "artists.csv", [])


def test_unknown_artists_are_reported(capsys):
    artist_groups(clips(3), None, [])
    assert "artists of 3 of 3 clips are unknown" in capsys.readouterr().err


def test_too_few_artists_make_no_folds():
    every = clips(4)
    with pytest.raises(TrainingError, match="of 2 artists, too few for 3 folds"):
        artist_folds(every, [1] * 4, [0, 0, 1, 1], 3, seed=0)
