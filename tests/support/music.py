"""Real music, in the formats that people have it in."""

from pathlib import Path

import numpy as np
import soxr

from genre_classifier.audio import SAMPLE_RATE, decode
from tests.support.songs import Song, encoded

MIN_BYTES = 100_000  # of a clip of GTZAN that is no excerpt


def as_sold(data: Path, count: int) -> list[Song]:
    """Songs of GTZAN and of elsewhere by turns, and one in seven a long one.

    One in three is as it lies there, one an MP3 at 44.1 kHz in stereo, one an FLAC at 48 kHz.
    """
    gtzan, elsewhere, long = (sorted((data / folder).rglob("*.ogg")) for folder in ("gtzan", "elsewhere", "songs"))
    gtzan = [path for path in gtzan if path.stat().st_size > MIN_BYTES]
    long = long[: count // 7]
    half = (count - len(long)) // 2
    chosen = [*gtzan[:: len(gtzan) // half][:half], *elsewhere[:: len(elsewhere) // half][:half], *long]
    return [_sold(path, place % 3) for place, path in enumerate(chosen)]


def _sold(path: Path, way: int) -> Song:
    if way == 0:
        return Song(path.name, path.read_bytes())
    rate, kind = [(44_100, "MP3"), (48_000, "FLAC")][way - 1]
    mono = soxr.resample(decode(path).waveform, SAMPLE_RATE, rate)
    mono /= max(1, np.abs(mono).max())
    waveform = np.stack([mono, 0.8 * mono], axis=1) if kind == "MP3" else mono
    return Song(f"{path.stem}.{kind.lower()}", encoded(waveform, rate, kind))
