"""Synthetic songs in common formats, and broken ones made of them."""

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from audio import SAMPLE_RATE
from audio.sample import synthesise

FORMATS = ("WAV", "FLAC", "OGG", "MP3")


@dataclass(frozen=True)
class Song:
    """A file to send."""

    name: str
    content: bytes


def songs(count: int, longest: float = 30.0, seed: int = 0) -> list[Song]:
    """Songs of 3 seconds to `longest`, each another stretch of the sample's music at another pitch and level."""
    chance = np.random.default_rng(seed)
    music = synthesise()
    made = []
    for number in range(count):
        seconds = float(np.exp(chance.uniform(np.log(3.0), np.log(longest)))) if longest > 3 else 3.0  # noqa: PLR2004
        speed = chance.uniform(0.8, 1.25)
        places = (chance.uniform(0, len(music)) + speed * np.arange(int(np.ceil(seconds * SAMPLE_RATE)))) % len(music)
        waveform = chance.uniform(0.3, 1.0) * music[places.astype(int)]
        kind = FORMATS[number % len(FORMATS)]
        buffer = io.BytesIO()
        sf.write(buffer, waveform, SAMPLE_RATE, format=kind)
        made.append(Song(f"song-{number}.{kind.lower()}", buffer.getvalue()))
    return made


def recording(kind: str, seconds: float, music: Path | None = None) -> Song:
    """A song of so many seconds in a format, cut from a recording that is repeated as needed.

    Args:
        kind: by libsndfile's name.
        seconds: of music.
        music: the recording, at its own rate and in its channels; without one, music is synthesised, at 44.1 kHz in
            stereo.
    """
    if music:
        waveform, rate = sf.read(music, dtype="float32", always_2d=True)
    else:
        rate = 2 * SAMPLE_RATE
        mono = soxr.resample(synthesise(), SAMPLE_RATE, rate)
        waveform = np.stack([mono, np.roll(mono, rate // 100)], axis=1)
    places = np.arange(int(seconds * rate)) % len(waveform)
    buffer = io.BytesIO()
    sf.write(buffer, waveform[places], rate, format=kind)
    return Song(f"{seconds:g}-s.{kind.lower()}", buffer.getvalue())


def mutants(originals: Sequence[Song], count: int, seed: int = 0) -> Iterator[Song]:
    """Songs cut short, with bytes changed, blocks moved, doubled, zeroed or missing, or with another's head."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    for number in range(count):
        content = bytearray(chance.choice(originals).content)
        for _ in range(chance.choice((1, 1, 2, 5))):
            _mutate(content, chance, originals)
        yield Song(f"mutant-{number}", bytes(content))


def _mutate(content: bytearray, chance: random.Random, others: Sequence[Song]) -> None:
    size = max(1, len(content))
    # Heads are where formats live or die.
    at = chance.randrange(min(size, chance.choice((16, 256, size))))
    length = min(size - at, 2 ** chance.randrange(16))
    match chance.randrange(7):
        case 0:
            del content[at:]
        case 1:
            for place in range(at, min(at + chance.randrange(1, 64), size)):
                content[place : place + 1] = bytes([chance.randrange(256)])
        case 2:
            content[at : at + length] = bytes(length)
        case 3:
            del content[at : at + length]
        case 4:
            content[at:at] = content[at : at + length]
        case 5:
            content[at : at + length] = b"\xff" * length
        case _:
            content[: 2 ** chance.randrange(4, 12)] = chance.choice(others).content[: 2 ** chance.randrange(4, 12)]
