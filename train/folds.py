"""Splits by artist: no artist and no recording on two sides, as folds of a cross-validation."""

import csv
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from train.data import Clip
from train.duplicates import connected
from train.errors import TrainingError
from train.splits import Part, Split


def artist_folds(
    clips: Sequence[Clip], weights: Sequence[float], groups: Sequence[int], folds: int, seed: int
) -> list[Split]:
    """Splits for cross-validation, each clip tested once: fold i tests, fold i + 1 chooses, the others train.

    Args:
        clips: all there are.
        weights: how much each counts when folds are made equal, more than 0, as its number of scored chunks.
        groups: as many; clips of one group, an artist's or a recording's, stay together.
        folds: how many, three or more.
        seed: of the order in which groups of one size are dealt.

    Raises:
        TrainingError: there are fewer groups than folds.
    """
    if len(set(groups)) < folds:
        raise TrainingError(f"These clips are of {len(set(groups))} artists, too few for {folds} folds.")
    members: dict[int, list[int]] = {}
    for place in np.random.default_rng(seed).permutation(len(clips)):
        members.setdefault(groups[place], []).append(int(place))
    total: dict[str, float] = defaultdict(float)
    for clip, weight in zip(clips, weights, strict=True):
        total[clip.genre] += weight
    load: list[dict[str, float]] = [defaultdict(float) for _ in range(folds)]
    fold_of: dict[str, int] = {}
    # The large groups first, each to the fold that has the smallest share of its genres, as cards are dealt.
    for group in sorted(members.values(), key=lambda places: -sum(weights[place] for place in places)):
        genres = [clips[place].genre for place in group]
        # Of equals the emptiest, or the first would have the largest artist of every genre.
        fold = min(range(folds), key=lambda each: (_fullness(load[each], total, genres), sum(load[each].values())))
        for place in group:
            fold_of[clips[place].name] = fold
            load[fold][clips[place].genre] += weights[place]
    roles: list[Part] = ["test", "valid"]
    return [
        Split(
            {
                (clip, None): roles[(fold - tested) % folds] if (fold - tested) % folds < len(roles) else "train"
                for clip, fold in fold_of.items()
            }
        )
        for tested in range(folds)
    ]


def _fullness(load: Mapping[str, float], total: Mapping[str, float], genres: Sequence[str]) -> float:
    return sum(load[genre] / total[genre] for genre in genres)


def artist_groups(clips: Sequence[Clip], index: Path | None, duplicates: Sequence[tuple[int, int]]) -> list[int]:
    """A number for each clip, the same for clips of one artist by the index, and for clips of one recording.

    Raises:
        TrainingError: the index is not a table with the columns clip and artist.
    """
    artists = read_artists(index) if index else {}
    known = sum(clip.name in artists for clip in clips)
    if index and not known:
        raise TrainingError(f"{index} names none of these clips; they are called as their files, without the suffix.")
    if known < len(clips):
        print(
            f"WARNING: the artists of {len(clips) - known} of {len(clips)} clips are not known; "
            "one of them may be on both sides.",
            file=sys.stderr,
        )
    first: dict[str, int] = {}
    places = [(artists.get(clip.name), place) for place, clip in enumerate(clips)]
    same_artist = [(first.setdefault(artist, place), place) for artist, place in places if artist]
    return connected(len(clips), [*same_artist, *duplicates])


def read_artists(path: Path) -> dict[str, str]:
    """Artist of each clip, from a CSV file with the columns clip and artist; unknown ones are left out.

    Raises:
        TrainingError: the file is not such a table.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(row["clip"], " ".join(row["artist"].casefold().split())) for row in csv.DictReader(file)]
    except (OSError, KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path} is not a table with the columns clip and artist.") from error
    return {clip: artist for clip, artist in rows if artist}
