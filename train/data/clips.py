"""GTZAN-style folders, one per genre, as labelled clips and their waveforms."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from genre_classifier.audio import CHUNK_SAMPLES, Audio, AudioError, decode, is_audible
from genre_classifier.audio.suffixes import AUDIO_SUFFIXES
from train.errors import TrainingError

Waveform = NDArray[np.float32]  # mono at 22 050 Hz, (samples,)


@dataclass(frozen=True)
class Clip:
    """A recording."""

    name: str
    """As splits write it: the file's name without the suffix, `blues.00000`; longer where two files share it."""
    genre: str
    """Empty if it has no label."""
    path: Path
    folder: str = ""
    """The folder inside the genre's folder that holds it, of an artist or an album; empty if there is none."""


def find_clips(root: Path) -> list[Clip]:
    """The clips in `root/<genre>/` and below, sorted by path.

    Raises:
        TrainingError: there are no clips.
    """
    return scan(root)[0]


def scan(root: Path) -> tuple[list[Clip], list[Path]]:
    """The clips in `root/<genre>/` and below, and the files that are no clips; hidden ones are neither.

    Raises:
        TrainingError: there are no clips.
    """
    if not root.is_dir():
        raise TrainingError(f"{root} is not a folder; --data takes a folder that holds one folder of clips per genre.")
    files = [path.relative_to(root) for path in _files(root)]
    music = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES and len(path.parts) > 1]
    if not music:
        raise TrainingError(f"{root} holds no clips; put audio files in {root}/<genre>/.")
    clips = [
        Clip(name, path.parts[0], root / path, path.parts[1] if len(path.parts) > 2 else "")  # noqa: PLR2004
        for name, path in zip(_names(music), music, strict=True)
    ]
    return clips, [root / path for path in sorted(set(files) - set(music))]


def find_unlabelled(root: Path) -> list[Clip]:
    """All audio files in a folder and below, as clips without a genre, sorted by path.

    Raises:
        TrainingError: there are none.
    """
    files = [path for path in _files(root) if path.suffix.lower() in AUDIO_SUFFIXES]
    if not files:
        raise TrainingError(f"{root} holds no audio files; --unlabelled takes a folder of music without labels.")
    return [Clip(str(path.relative_to(root)), "", path) for path in files]


def _files(root: Path) -> list[Path]:
    """All files below a folder that are not hidden, through links, sorted."""
    found: list[Path] = []
    seen = set()  # a link may lead back
    for inside, folders, names in os.walk(root, followlinks=True):
        here = Path(inside)
        seen.add(here.resolve())
        folders[:] = [name for name in sorted(folders) if name[0] != "." and (here / name).resolve() not in seen]
        found += [here / name for name in names if name[0] != "."]
    return sorted(found)


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest form of each path that no other has: without folders and suffix, without the suffix, or whole."""
    forms = [(path.stem, path.with_suffix("").as_posix(), path.as_posix()) for path in paths]
    counts = Counter(name for each in forms for name in set(each))
    return [next((name for name in each if counts[name] == 1), each[-1]) for each in forms]


def decode_clips(clips: Iterable[Clip]) -> tuple[list[Clip], list[Waveform]]:
    """Decode clips: those that can be used, and their waveforms.

    A clip that cannot be decoded, or is silent, is named on standard error and left out; they are counted too.
    """
    clips = list(clips)
    kept: list[Clip] = []
    waveforms: list[Waveform] = []
    with ThreadPoolExecutor() as pool:
        results = pool.map(_decode_audible, clips)
        for clip, result in zip(clips, tqdm(results, "decoding", len(clips), unit="clip", disable=None), strict=True):
            if isinstance(result, AudioError):
                tqdm.write(f"skipped {clip.path}: {result}", file=sys.stderr)
            else:
                if result.warning:
                    tqdm.write(f"{clip.path}: {result.warning}", file=sys.stderr)
                kept.append(clip)
                waveforms.append(result.waveform)
    if len(kept) < len(clips):
        print(f"{len(clips) - len(kept)} of {len(clips)} clips are skipped", file=sys.stderr)
    return kept, waveforms


def _decode_audible(clip: Clip) -> Audio | AudioError:
    try:
        audio = decode(clip.path)
    except AudioError as error:
        return error
    if is_audible(fill_chunk(audio.waveform)):
        return audio
    return AudioError("The file is silent from beginning to end.", "silent")


def fill_chunk(waveform: Waveform) -> Waveform:
    """A waveform shorter than a chunk, repeated to fill one; a longer one as it is."""
    return waveform if len(waveform) >= CHUNK_SAMPLES else np.resize(waveform, CHUNK_SAMPLES)
