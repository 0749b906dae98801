"""Three genres of synthetic clips, as folders, and a table that splits them."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import soundfile

from export.signals import chord, clicks
from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE

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
def genres():
    """The labels of `folder`."""
    return list(GENRES)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Ten clips for each of three genres, one of them shorter than a chunk; a broken file; and split.csv."""
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


def run_module(name, *arguments):
    command = [sys.executable, "-m", name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def train():
    """Runs `python -m train` with arguments and returns the completed process."""
    return partial(run_module, "train")


@pytest.fixture(scope="session")
def evaluate():
    """Runs `python -m train.evaluate` with arguments and returns the completed process."""
    return partial(run_module, "train.evaluate")


@pytest.fixture(scope="session")
def trained(train, folder, tmp_path_factory):
    """The output of a run of six epochs, and its completed process."""
    output = tmp_path_factory.mktemp("run")
    recipe = ("--epochs", 6, "--batch", 8, "--recalibrate")  # few steps: the running statistics would lag behind
    return output, train("--data", folder, "--split", folder / "split.csv", "--output", output, *recipe)
