"""Synthetic songs in common formats, and damaged ones made of them."""

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from genre_classifier.audio import CHUNK_SECONDS, SAMPLE_RATE
from genre_classifier.audio.sample import synthesise

FORMATS = ("WAV", "FLAC", "OGG", "MP3")


@dataclass(frozen=True)
class Song:
    """A file to send."""

    name: str
    content: bytes


def songs(count: int, longest: float = 30.0, seed: int = 0) -> list[Song]:
    """Songs of 3 to `longest` seconds, each a different stretch of the sample's music, at its own speed and level."""
    rng = np.random.default_rng(seed)
    music = synthesise()
    made = []
    for number in range(count):
        seconds = float(np.exp(rng.uniform(np.log(CHUNK_SECONDS), np.log(longest))))
        speed = rng.uniform(0.8, 1.25)
        indices = rng.uniform(0, len(music)) + speed * np.arange(int(np.ceil(seconds * SAMPLE_RATE)))
        waveform = rng.uniform(0.3, 1.0) * music[indices.astype(np.int64) % len(music)]
        kind = FORMATS[number % len(FORMATS)]
        made.append(Song(f"song-{number}.{kind.lower()}", encoded(waveform, SAMPLE_RATE, kind)))
    return made


def recording(kind: str, seconds: float, music: Path | None = None) -> Song:
    """A song of the given length, cut from a recording that is repeated as often as needed.

    Args:
        kind: the format, by libsndfile's name.
        seconds: length of the song.
        music: the recording, whose sample rate and channels are kept; None for synthesised music, 44.1 kHz stereo.
    """
    if music:
        waveform, rate = sf.read(music, dtype="float32", always_2d=True)
    else:
        rate = 2 * SAMPLE_RATE
        mono = soxr.resample(synthesise(), SAMPLE_RATE, rate)
        waveform = np.stack([mono, np.roll(mono, rate // 100)], axis=1)
    indices = np.arange(int(seconds * rate)) % len(waveform)
    return Song(f"{seconds:g}-s.{kind.lower()}", encoded(waveform[indices], rate, kind))


def encoded(waveform: NDArray[np.floating[Any]], rate: int, kind: str) -> bytes:
    """A waveform, (samples,) or (samples, channels), as a file of the format that libsndfile calls so."""
    buffer = io.BytesIO()
    sf.write(buffer, waveform, rate, format=kind)
    return buffer.getvalue()


def mutants(originals: Sequence[Song], count: int, seed: int = 0) -> Iterator[Song]:
    """Damaged songs: cut short, bytes changed, blocks doubled, zeroed or missing, or the head of another song."""
    rng = random.Random(seed)
    for number in range(count):
        content = bytearray(rng.choice(originals).content)
        for _ in range(rng.choice((1, 1, 2, 5))):
            _mutate(content, rng, originals)
        yield Song(f"mutant-{number}", bytes(content))


def _mutate(content: bytearray, rng: random.Random, others: Sequence[Song]) -> None:
    size = max(1, len(content))
    # Most damage is near the start, where the headers are.
    start = rng.randrange(min(size, rng.choice((16, 256, size))))
    stop = start + min(size - start, 2 ** rng.randrange(16))
    match rng.randrange(7):
        case 0:
            del content[start:]
        case 1:
            for index in range(start, min(start + rng.randrange(1, 64), size)):
                content[index : index + 1] = bytes([rng.randrange(256)])
        case 2:
            content[start:stop] = bytes(stop - start)
        case 3:
            del content[start:stop]
        case 4:
            content[start:start] = content[start:stop]
        case 5:
            content[start:stop] = b"\xff" * (stop - start)
        case _:
            head = 2 ** rng.randrange(4, 12)
            content[:head] = rng.choice(others).content[:head]
