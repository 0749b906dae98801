"""Three genres of synthetic clips, as folders, and a table that splits them."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial

import numpy as np
import pytest
import soundfile

from export.signals import chord, clicks
from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE
from train.__main__ import main as train_main
from train.evaluate import main as evaluate_main

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


def run_process(name, *arguments):
    """Run `python -m name` and return the completed process."""
    command = [sys.executable, "-m", name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run_here(main, *arguments):
    """Run an entry point as `run_process` would, without the seconds that imports take in each new process."""
    words = [str(word) for word in arguments]
    with redirect_stdout(io.StringIO()) as stdout, redirect_stderr(io.StringIO()) as stderr:
        try:
            code = main(words)
        except SystemExit as ended:
            code = ended.code
    return subprocess.CompletedProcess(words, code, stdout.getvalue(), stderr.getvalue())


@pytest.fixture(scope="session")
def train():
    """Runs what `python -m train` runs, with arguments, and returns what a completed process would be."""
    return partial(run_here, train_main)


@pytest.fixture(scope="session")
def evaluate():
    """The same for `python -m train.evaluate`."""
    return partial(run_here, evaluate_main)


@pytest.fixture(scope="session")
def trained(folder, tmp_path_factory):
    """The output of a run of six epochs, and its completed process."""
    output = tmp_path_factory.mktemp("run")
    recipe = ("--epochs", 6, "--batch", 8, "--recalibrate")  # few steps: the running statistics would lag behind
    words = ("--data", folder, "--split", folder / "split.csv", "--output", output)
    return output, run_process("train", *words, *recipe)
