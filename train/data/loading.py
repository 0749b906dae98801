"""The clips of a folder, decoded, and the split or the folds that assign them to train, valid and test."""

import sys
from collections.abc import Sequence
from dataclasses import replace

from genre_classifier.audio import CHUNK_SAMPLES, chunk_starts
from train.config import MIN_FOLDS, SplitConfig
from train.data.artist_folds import artist_folds, artist_groups
from train.data.clips import Clip, Waveform, decode_clips
from train.data.fingerprints import connected, find_duplicates
from train.data.splits import LEAK_WARNING, PARTS, Split, load_split, random_chunk_split
from train.errors import TrainingError

DEFAULT_FOLDS = 5  # for a single split by artist: three fifths train, one validates, one tests
EXCERPT_WEIGHT = 0.1  # of a clip shorter than a chunk, when folds are balanced


def choose_split(found: Sequence[Clip], config: SplitConfig) -> SplitConfig:
    """What the split `auto` means for these clips: the published lists if they are GTZAN's, else `auto` as it is.

    They are GTZAN's if the lists name half of the clips or more, and some of every genre to train on.
    """
    if config.split != "auto" or config.artists or config.folds:
        return config
    parts = load_split("fault-filtered").parts
    listed = sum((clip.name, None) in parts for clip in found)
    trained = {clip.genre for clip in found if parts.get((clip.name, None)) == "train"}
    if 2 * listed < len(found) or trained != {clip.genre for clip in found}:
        return config
    print("split auto: these are clips of GTZAN, so the published fault-filtered lists are used")
    return replace(config, split="fault-filtered")


def decode_and_split(found: Sequence[Clip], config: SplitConfig) -> tuple[list[Clip], list[Waveform], list[Split]]:
    """Decode the clips that the split needs: the clips, their waveforms, and one split per fold.

    Raises:
        TrainingError: the split is unknown, or it does not fit these clips.
    """
    if config.split not in {"auto", "artist", "random-chunk"}:
        split = load_split(config.split)
        listed = {clip for clip, _ in split.parts}
        clips, waveforms = _decode([clip for clip in found if clip.name in listed], len(found), config)
        split = split.of({clip.name for clip in found})
        return clips, waveforms, [without_copies(split, clips, waveforms) if split.whole else split]
    clips, waveforms = _decode(found, len(found), config)
    # A clip shorter than a chunk is never scored.
    scored = [len(chunk_starts(len(each))) if len(each) >= CHUNK_SAMPLES else 0 for each in waveforms]
    if config.split == "random-chunk":
        print(LEAK_WARNING.format("random-chunk"), file=sys.stderr)
        chunks = [(clip.name, number) for clip, count in zip(clips, scored, strict=True) for number in range(count)]
        return clips, waveforms, [random_chunk_split(chunks, config.split_seed)]
    duplicates = find_duplicates(waveforms)
    for one, other in duplicates:
        print(f"same recording: {clips[one].name} and {clips[other].name}")
    groups = artist_groups(clips, config.artists, duplicates)
    folds = config.folds or DEFAULT_FOLDS
    if config.split == "auto" and not config.folds:
        groups, folds = _enough_groups(clips, groups, duplicates)
    print(f"{len(set(groups))} groups of one artist or recording", flush=True)
    weights = [count or EXCERPT_WEIGHT for count in scored]
    splits = artist_folds(clips, weights, groups, folds, config.split_seed)
    return clips, waveforms, splits if config.folds else splits[:1]


def _enough_groups(
    clips: Sequence[Clip], groups: list[int], duplicates: Sequence[tuple[int, int]]
) -> tuple[list[int], int]:
    """The groups if every genre has enough of them for the three parts, else those of single recordings; and folds."""
    folders = any(clip.folder for clip in clips)
    if folders and _groups_of_a_genre(clips, groups) < MIN_FOLDS:
        print("split auto: a genre has fewer than three folders of artists or albums, so clips are split by recording")
        groups = connected(len(clips), duplicates)
    elif folders:
        print("split auto: by the folders inside the genres' folders, which count as artists")
    else:
        print("split auto: by recording, since there are no folders of artists or albums")
    # With five folds, three fifths train; with three, one third.
    return groups, DEFAULT_FOLDS if _groups_of_a_genre(clips, groups) >= DEFAULT_FOLDS else MIN_FOLDS


def _groups_of_a_genre(clips: Sequence[Clip], groups: Sequence[int]) -> int:
    """The number of groups of the genre that has fewest."""
    of_genre: dict[str, set[int]] = {}
    for clip, group in zip(clips, groups, strict=True):
        of_genre.setdefault(clip.genre, set()).add(group)
    return min(len(each) for each in of_genre.values())


def without_copies(split: Split, clips: Sequence[Clip], waveforms: Sequence[Waveform]) -> Split:
    """The split with each recording in one part only: test before valid before train. Clips left out are printed."""
    parts = dict(split.parts)
    order = list(PARTS)
    recordings = connected(len(clips), find_duplicates(waveforms))
    last: dict[int, tuple[str, None]] = {}  # by recording, the clip whose part comes last
    keys: list[tuple[str, None]] = [(clip.name, None) for clip in clips]
    for recording, key in zip(recordings, keys, strict=True):
        if key in parts and order.index(parts[key]) >= order.index(parts.get(last.get(recording, key), "train")):
            last[recording] = key
    for recording, key in zip(recordings, keys, strict=True):
        kept = last.get(recording, key)
        if key in parts and parts[key] != parts[kept]:
            print(f"left out: {key[0]}, the same recording as {kept[0]}, which is in {parts[kept]}", flush=True)
            del parts[key]
    return Split(parts)


def _decode(chosen: Sequence[Clip], found: int, config: SplitConfig) -> tuple[list[Clip], list[Waveform]]:
    print(f"decoding {len(chosen)} of {found} clips, which are in the split {config.title}", flush=True)
    clips, waveforms = decode_clips(chosen)
    if not clips:
        hint = "; for music other than GTZAN use --split auto" if config.split == "fault-filtered" else ""
        raise TrainingError(f"The split {config.title} contains no clip that can be decoded{hint}.")
    return clips, waveforms
