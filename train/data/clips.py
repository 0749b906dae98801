"""GTZAN-style folders, one per genre, as labelled clips and their waveforms."""

import sys
from collections.abc import Iterable
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
    """A labelled recording."""

    name: str
    """The file's name without the suffix, `blues.00000`, as splits write it."""
    genre: str
    path: Path


def find_clips(root: Path) -> list[Clip]:
    """The clips in `root/<genre>/*`, sorted.

    Raises:
        TrainingError: there are no clips, or two clips have the same name.
    """
    if not root.is_dir():
        raise TrainingError(f"{root} is not a folder; --data takes a folder that holds one folder of clips per genre.")
    clips = [
        Clip(path.stem, folder.name, path)
        for folder in sorted(root.iterdir())
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in AUDIO_SUFFIXES
    ]
    if not clips:
        raise TrainingError(f"{root} holds no clips; put audio files in {root}/<genre>/.")
    by_name: dict[str, Clip] = {}
    for clip in clips:
        if (other := by_name.setdefault(clip.name, clip)) is not clip:
            raise TrainingError(f"{clip.path} and {other.path} have the same name; rename one, since splits use names.")
    return clips


def decode_clips(clips: Iterable[Clip]) -> tuple[list[Clip], list[Waveform]]:
    """Decode clips: those that can be used, and their waveforms.

    A clip that cannot be decoded, or is silent, is named on standard error and left out.
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
