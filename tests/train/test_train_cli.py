"""`python -m train` from folders to best.ckpt, on three genres synthesised here."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from audio import CHUNK_SAMPLES, SAMPLE_RATE
from export.signals import chord, clicks
from train.checkpoint import load_checkpoint
from train.config import Config
from train.data import Chunks, decode_clips, extract, find_clips
from train.errors import TrainingError
from train.features import Features
from train.fit import Fit
from train.splits import FAULT_FILTERED, read_split, split_sha256, split_table

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


@pytest.fixture(scope="module")
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


def train(*arguments):
    command = [sys.executable, "-m", "train", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    recipe = ("--epochs", 6, "--batch", 16, "--mixup", 0)
    return output, train("--data", folder, "--split", folder / "split.csv", "--output", output, *recipe)


def test_trains_and_tells(trained, folder):
    output, ended = trained
    assert ended.returncode == 0, ended.stderr
    assert "broken.au" in ended.stderr  # named and skipped
    assert {path.name for path in output.iterdir()} == {
        "best.ckpt", "last.ckpt", "split.csv", "metrics.json", "confusion.png",
    }  # fmt: skip
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["test"]["tracks"] == 6
    assert metrics["train"]["tracks"] == 15  # excerpts shorter than a chunk train, and are never scored
    assert np.sum(metrics["test"]["confusion"]) == 6
    assert metrics["test"]["track_accuracy"] > 1 / 2  # chance is a third
    assert "recall" in ended.stdout

    checkpoint = load_checkpoint(output / "best.ckpt")
    assert checkpoint.labels == list(GENRES)
    assert checkpoint.metrics == metrics
    assert checkpoint.config["epochs"] == 6
    assert checkpoint.split_sha256 == split_sha256(read_split(output / "split.csv"))
    assert len(load_checkpoint(output / "last.ckpt").history) == 6


def test_evaluate_gives_the_same_figures(trained, folder, tmp_path):
    output, _ = trained
    command = [sys.executable, "-m", "train.evaluate", "--checkpoint", output / "best.ckpt", "--data", folder]
    command += ["--split", folder / "split.csv", "--output", tmp_path]
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    expected = json.loads((output / "metrics.json").read_text())["test"]
    assert json.loads((tmp_path / "metrics.json").read_text()) == expected


def test_resumes_where_it_stopped(folder, tmp_path):
    """An interrupted run, gone on with, draws the same curve as one in one piece."""
    split = read_split(folder / "split.csv")
    sets = {}
    for part in ("train", "valid"):
        clips, waveforms = decode_clips(c for c in find_clips(folder) if split[c.name] == part and c.name != "broken")
        chunks = Chunks(clips, waveforms, GENRES)
        sets[part] = extract(chunks, Features(), torch.device("cpu")), chunks
    config = Config(epochs=3, batch=16)
    device = torch.device("cpu")

    whole = Fit(config, list(GENRES), device, {})
    whole.run(sets["train"], sets["valid"], tmp_path)

    class StoppedError(Exception):
        pass

    first = Fit(config, list(GENRES), device, {})
    epoch = first.epoch

    def stop_in_the_third(*arguments):
        if len(first.history) == 2:
            raise StoppedError
        return epoch(*arguments)

    first.epoch = stop_in_the_third
    with pytest.raises(StoppedError):
        first.run(sets["train"], sets["valid"], tmp_path)
    best = load_checkpoint(tmp_path / "best.ckpt")  # serves as it is
    assert best.metrics["valid"]["tracks"] == 6
    assert 0 < best.uncertain_below <= 1

    with pytest.raises(TrainingError, match="another split"):
        Fit(config, list(GENRES), device, {"split_sha256": "of other clips"}).resume(tmp_path / "last.ckpt")
    with pytest.raises(TrainingError, match="another epochs"):
        Fit(Config(epochs=4, batch=16), list(GENRES), device, {}).resume(tmp_path / "last.ckpt")
    second = Fit(config, list(GENRES), device, {})
    second.resume(tmp_path / "last.ckpt")
    second.run(sets["train"], sets["valid"], tmp_path)
    assert second.history == whole.history


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "nowhere"], "nowhere is not a folder"),
        (["--split", "nowhere.csv"], "There is no split nowhere.csv"),
        (["--split", "fault-filtered"], "leaves no clip"),
        (["--device", "cuda"], "finds no CUDA device"),
        (["--resume"], "There is no checkpoint"),
        (["--batch", "1"], "--batch must be at least 2"),
        (["--learning-rate", "nan"], "--learning-rate must be from"),
        (["--output", __file__], "File exists"),
    ],
)
def test_says_what_is_wrong_in_one_sentence(arguments, says, folder, tmp_path):
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    words = {"--data": folder, "--split": folder / "split.csv", "--output": tmp_path}
    words |= dict(zip(arguments[::2], arguments[1::2], strict=False))
    flags = ["--resume"] if "--resume" in arguments else []
    ended = train(*[word for pair in words.items() for word in pair], *flags)
    assert ended.returncode == 2
    assert says in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_two_clips_of_one_name_are_refused(tmp_path):
    for genre in ("a", "b"):
        (tmp_path / genre).mkdir()
        (tmp_path / genre / "one.wav").touch()
    with pytest.raises(TrainingError, match="one name"):
        find_clips(tmp_path)


def test_chunks_are_random_access(folder):
    clips, waveforms = decode_clips(clip for clip in find_clips(folder) if clip.name.endswith(("00000", "00001")))
    chunks = Chunks(clips, waveforms, GENRES)
    # 2 s fill one chunk, 6.5 s hold two; half a second at the end is too little for a third.
    assert chunks.clip.tolist() == [0, 1, 1, 2, 3, 3, 4, 5, 5]
    assert chunks.scored.tolist() == [False, True, True] * 3
    excerpt, label = chunks[0]
    assert label == 0
    assert np.array_equal(excerpt[44100:], excerpt[: 66150 - 44100])  # repeated, not padded
    assert np.array_equal(chunks[2][0], waveforms[1][66150 : 2 * 66150])
    overlapping = Chunks(clips, waveforms, GENRES, hop=33075)
    assert overlapping.places[1:4] == [(1, 0), (1, 33075), (1, 66150)]
    assert overlapping.scored[:4].tolist() == [False, True, False, True]


def test_a_finished_run_is_not_trained_over(trained, folder):
    output, _ = trained
    before = (output / "best.ckpt").read_bytes()
    ended = train("--data", folder, "--split", folder / "split.csv", "--output", output)
    assert ended.returncode == 2
    assert "holds a run already" in ended.stderr
    assert (output / "best.ckpt").read_bytes() == before


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("clip,split\na,train\na,test\n", "names the clip a twice"),
        ("clip,split\na,training\n", "holds the split 'training'"),
        ("name,part\na,train\n", "is not a table"),
    ],
)
def test_a_table_that_splits_nothing(tmp_path, table, says):
    (tmp_path / "split.csv").write_text(table)
    with pytest.raises(TrainingError, match=says):
        read_split(tmp_path / "split.csv")


def test_a_split_can_be_given_back(tmp_path):
    split = {"b, live": "test", 'a "quoted" name': "train", "c": "valid"}
    (tmp_path / "split.csv").write_text("\ufeff" + split_table(split), encoding="utf-8")  # as spreadsheets save it
    assert read_split(tmp_path / "split.csv") == split


def test_published_split_is_whole():
    split = read_split(FAULT_FILTERED)
    counts = {part: sum(value == part for value in split.values()) for part in ("train", "valid", "test")}
    assert counts == {"train": 443, "valid": 197, "test": 290}
