"""Splits by artist: no artist and no recording in two parts, as the folds of a cross-validation."""

import csv
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from train.data.clips import Clip
from train.data.fingerprints import connected
from train.data.splits import Part, Split
from train.errors import TrainingError


def artist_folds(
    clips: Sequence[Clip], weights: Sequence[float], groups: Sequence[int], folds: int, seed: int
) -> list[Split]:
    """Splits for cross-validation in which each clip is tested once.

    Split i tests fold i, validates on fold i + 1 and trains on the others.

    Args:
        clips: all clips.
        weights: the weight of each clip when folds are balanced, above 0: its number of scored chunks.
        groups: a number per clip; clips of one group (an artist, a recording) stay in one fold.
        folds: the number of folds, three or more.
        seed: decides the order of groups of equal size.

    Raises:
        TrainingError: there are fewer groups than folds.
    """
    if len(set(groups)) < folds:
        raise TrainingError(f"These clips are of {len(set(groups))} artists, too few for {folds} folds.")
    members: dict[int, list[int]] = {}
    for index in np.random.default_rng(seed).permutation(len(clips)):
        members.setdefault(groups[index], []).append(int(index))
    total: dict[str, float] = defaultdict(float)
    for clip, weight in zip(clips, weights, strict=True):
        total[clip.genre] += weight
    load: list[dict[str, float]] = [defaultdict(float) for _ in range(folds)]
    fold_of: dict[str, int] = {}
    # Large groups come first. Each goes to the fold that has the smallest share of the group's genres so far.
    for group in sorted(members.values(), key=lambda indices: -sum(weights[index] for index in indices)):
        genres = [clips[index].genre for index in group]
        # Among equals the emptiest fold, or else the first fold would get the largest artist of every genre.
        fold = min(range(folds), key=lambda each: (_fullness(load[each], total, genres), sum(load[each].values())))
        for index in group:
            fold_of[clips[index].name] = fold
            load[fold][clips[index].genre] += weights[index]
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
    """A number for each clip, the same for clips of one artist and for clips of one recording.

    The index file names the artist of a clip. For a clip that it does not list, the folder inside the genre's folder
    counts as an artist.

    Raises:
        TrainingError: the index is not a table with the columns clip and artist, or it lists none of the clips.
    """
    artists = read_artists(index) if index else {}
    known = sum(clip.name in artists for clip in clips)
    if index and not known:
        raise TrainingError(f"{index} lists none of these clips; it must use file names without the suffix.")
    named = [artists.get(clip.name) or " ".join(clip.folder.casefold().split()) for clip in clips]
    if unknown := named.count(""):
        print(
            f"WARNING: the artists of {unknown} of {len(clips)} clips are unknown, so one artist may be in two parts.",
            file=sys.stderr,
        )
    first: dict[str, int] = {}
    same_artist = [(first.setdefault(artist, number), number) for number, artist in enumerate(named) if artist]
    return connected(len(clips), [*same_artist, *duplicates])


def read_artists(path: Path) -> dict[str, str]:
    """Artist of each clip, from a CSV file with the columns clip and artist; clips without an artist are left out.

    Raises:
        TrainingError: the file is not such a table.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(row["clip"], " ".join(row["artist"].casefold().split())) for row in csv.DictReader(file)]
    except (OSError, KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path} is not a table with the columns clip and artist.") from error
    return {clip: artist for clip, artist in rows if artist}
