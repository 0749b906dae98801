"""From the clips that are found to decoded clips and the split, or the folds, that they play in."""

import sys
from collections.abc import Sequence
from pathlib import Path

from audio import CHUNK_SAMPLES, chunk_starts
from train.config import SplitConfig
from train.data import Clip, Waveform, decode_clips
from train.duplicates import connected, find_duplicates
from train.errors import TrainingError
from train.folds import artist_folds, artist_groups
from train.splits import FAULT_FILTERED, PARTS, Split, random_chunks, read_split

USUAL_FOLDS = 5  # where one split by artist is asked for: three fifths train, one chooses, one tests
EXCERPT = 0.1  # weight of a clip that is shorter than a chunk, where folds are made equal
LEAKS = (
    "WARNING: {} puts chunks of one recording on both sides. Its accuracy says how well recordings are recognised, not "
    "genres; it is here to compare with what others report."
)


def decode_and_split(found: Sequence[Clip], config: SplitConfig) -> tuple[list[Clip], list[Waveform], list[Split]]:
    """Decodes the clips that the split needs: those that decode, their waveforms, and a split for each fold.

    Raises:
        TrainingError: the split is none of the known ones nor a file, or it fits these clips in no way.
    """
    if config.split not in {"artist", "random-chunk"}:
        split = read_split(FAULT_FILTERED if config.split == "fault-filtered" else Path(config.split))
        listed = {clip for clip, _ in split.parts}
        if split.divides:
            print(LEAKS.format(config.title), file=sys.stderr)
        clips, waveforms = _decode([clip for clip in found if clip.name in listed], len(found), config)
        split = split.of({clip.name for clip in found})
        return clips, waveforms, [without_copies(split, clips, waveforms) if split.whole else split]
    clips, waveforms = _decode(found, len(found), config)
    # Of a clip that is shorter than a chunk, nothing is scored.
    scored = [len(chunk_starts(len(each))) if len(each) >= CHUNK_SAMPLES else 0 for each in waveforms]
    if config.split == "random-chunk":
        print(LEAKS.format("random-chunk"), file=sys.stderr)
        chunks = [(clip.name, number) for clip, count in zip(clips, scored, strict=True) for number in range(count)]
        return clips, waveforms, [random_chunks(chunks, config.split_seed)]
    duplicates = find_duplicates(waveforms)
    for one, other in duplicates:
        print(f"one recording: {clips[one].name} and {clips[other].name}")
    groups = artist_groups(clips, config.artists, duplicates)
    print(f"{len(set(groups))} groups of one artist or recording", flush=True)
    weights = [count or EXCERPT for count in scored]
    folds = artist_folds(clips, weights, groups, config.folds or USUAL_FOLDS, config.split_seed)
    return clips, waveforms, folds if config.folds else folds[:1]


def without_copies(split: Split, clips: Sequence[Clip], waveforms: Sequence[Waveform]) -> Split:
    """The split less those clips that train or choose while their recording chooses or tests; each is named."""
    parts = dict(split.parts)
    order = list(PARTS)
    recordings = connected(len(clips), find_duplicates(waveforms))
    last: dict[int, tuple[str, None]] = {}  # of each recording, the clip whose part comes last
    keys: list[tuple[str, None]] = [(clip.name, None) for clip in clips]
    for recording, key in zip(recordings, keys, strict=True):
        if key in parts and order.index(parts[key]) >= order.index(parts.get(last.get(recording, key), "train")):
            last[recording] = key
    for recording, key in zip(recordings, keys, strict=True):
        kept = last.get(recording, key)
        if key in parts and parts[key] != parts[kept]:
            print(f"left out: {key[0]}, the same recording as {kept[0]}, which is for {parts[kept]}", flush=True)
            del parts[key]
    return Split(parts)


def _decode(chosen: Sequence[Clip], found: int, config: SplitConfig) -> tuple[list[Clip], list[Waveform]]:
    print(f"{len(chosen)} of {found} clips are in the split {config.title}; decoding them", flush=True)
    clips, waveforms = decode_clips(chosen)
    if not clips:
        hint = "; for other music than GTZAN there is --split artist" if config.split == "fault-filtered" else ""
        raise TrainingError(f"The split {config.title} leaves no clip that can be decoded{hint}.")
    return clips, waveforms
