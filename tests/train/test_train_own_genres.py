"""Genres of one's own from the command line: folders of many formats in, a model and its answer out."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genre_classifier.audio import SAMPLE_RATE
from tests.train.conftest import run_process, waveform
from train.data.splits import read_split
from train.network.checkpoint import load_checkpoint

SUFFIXES = ("wav", "flac", "ogg", "mp3", "aiff")
CLIPS, SECONDS = 10, 7.0
GENRES = {"beeps": "beeps", "old chords": "chords", "hiss": "hiss"}


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Three genres of ten clips: one of albums, and all with the same file names; and files that are no clips."""
    root = tmp_path_factory.mktemp("own") / "my music"
    rng = np.random.default_rng(0)
    for genre, kind in GENRES.items():
        for number in range(CLIPS):
            folder = root / genre / (f"album {number // 2}" if kind == "chords" else "")
            folder.mkdir(parents=True, exist_ok=True)
            rate = (22_050, 44_100)[number % 2]
            sound = np.repeat(waveform(kind, rng, SECONDS), rate // SAMPLE_RATE)
            soundfile.write(folder / f"song {number}.{SUFFIXES[number % len(SUFFIXES)]}", sound, rate)
    (root / "hiss" / "broken.mp3").write_bytes(b"no sound at all")
    (root / "hiss" / "cover.jpg").write_bytes(b"no picture either")
    return root


@pytest.fixture(scope="module")
def ended(music):
    return run_process("train", "--net", "transfer", "--data", music, "--output", music.parent / "run")


def test_it_trains_and_says_what_it_left_out(ended, music):
    assert ended.returncode == 0, ended.stderr
    assert "skipped 1 files" in ended.stderr
    assert "cover.jpg" in ended.stderr
    assert "broken.mp3" in ended.stderr
    assert "1 of 31 clips are skipped" in ended.stderr
    output = music.parent / "run"
    assert {"best.ckpt", "last.ckpt", "split.csv", "metrics.json", "curve.png"} <= {
        path.name for path in output.iterdir()
    }
    checkpoint = load_checkpoint(output / "best.ckpt")
    assert checkpoint.labels == sorted(GENRES)
    assert checkpoint.recognised_above is not None
    assert len(checkpoint.history) == 1
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["test"]["track_accuracy"] == 1.0
    assert metrics["test"]["track_accuracy_interval"] is None  # of six clips
    assert 0 <= metrics["test"]["recognised"] <= 1


def test_no_album_is_in_two_parts(ended, music):
    split = read_split(music.parent / "run" / "split.csv")
    albums = [
        {name.split("/")[1] for name in split.clips(part) if "album" in name} for part in ("train", "valid", "test")
    ]
    assert sum(map(len, albums)) == len(set().union(*albums)) == CLIPS / 2
    assert len({clip for clip, _ in split.parts}) == CLIPS * len(GENRES)


def test_the_two_commands_that_it_ends_with_work(ended, music):
    export, classify = (shlex.split(line) for line in ended.stdout.strip().splitlines()[-2:])
    assert export[:3] == ["python", "-m", "export"]
    exported = subprocess.run([sys.executable, *export[1:]], capture_output=True, text=True, check=False)
    assert exported.returncode == 0, exported.stdout + exported.stderr
    assert classify[0] == "genre-classifier"
    command = [sys.executable, "-m", "genre_classifier", "--json", *classify[1:]]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0])
    assert Path(classify[-1]).relative_to(music).parts[0] == answer["genre"]
    assert answer["recognised"] in {True, False}


def test_a_run_is_resumed_and_not_overwritten(ended, train, music):
    output = music.parent / "run"
    before = load_checkpoint(output / "best.ckpt")
    refused = train("--net", "transfer", "--data", music, "--output", output)
    assert refused.returncode == 2
    assert "already holds a run" in refused.stderr
    again = train("--net", "transfer", "--data", music, "--output", output, "--resume")
    assert again.returncode == 0, again.stderr
    after = load_checkpoint(output / "best.ckpt")
    assert (after.metrics, after.temperature) == (before.metrics, before.temperature)
