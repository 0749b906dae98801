"""Three genres synthesised here, as folders of clips and a table that splits them."""

import numpy as np
import pytest
import soundfile

from audio import CHUNK_SAMPLES, SAMPLE_RATE
from export.signals import chord, clicks

GENRES = ("beeps", "chords", "hiss")


def waveform(genre: str, rng: np.random.Generator, seconds: float) -> np.ndarray:
    sound = {
        "beeps": lambda: clicks(rng.uniform(80, 180)),
        "chords": lambda: chord(rng.uniform(400, 480)),
        "hiss": lambda: 0.1 * rng.standard_normal(CHUNK_SAMPLES),
    }[genre]
    parts = [sound() for _ in range(int(np.ceil(seconds / 3)))]
    noisy = np.concatenate(parts) + 1e-3 * rng.standard_normal(CHUNK_SAMPLES * len(parts))
    return noisy[: int(seconds * SAMPLE_RATE)]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Ten clips of each of three genres; one is short, one is no sound; and a table that splits them."""
    root = tmp_path_factory.mktemp("music")
    rng = np.random.default_rng(0)
    rows = ["clip,split"]
    for genre in GENRES:
        (root / genre).mkdir()
        for number in range(10):
            name = f"{genre}.{number:05}"
            seconds = 2.0 if number == 0 else 6.5
            soundfile.write(root / genre / f"{name}.wav", waveform(genre, rng, seconds), SAMPLE_RATE)
            rows.append(f"{name},{'train' if number < 6 else 'valid' if number < 8 else 'test'}")
    (root / "hiss" / "broken.au").write_bytes(b"no sound at all")
    rows.append("broken,train")
    (root / "split.csv").write_text("\n".join(rows) + "\n")
    return root
