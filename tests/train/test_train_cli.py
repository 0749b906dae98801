"""`python -m train` from folders to best.ckpt, on three genres synthesised here."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from audio import CHUNK_SAMPLES, SAMPLE_RATE
from export.graph import write_graph
from export.signals import chord, clicks
from train.checkpoint import load_checkpoint
from train.config import Config
from train.data import Chunks, decode_clips, extract, find_clips
from train.errors import TrainingError
from train.features import Features
from train.fit import Fit
from train.splits import read_split

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
    written = {"best.ckpt", "last.ckpt", "split.csv", "scores.pt", "metrics.json"}
    assert {path.name for path in output.iterdir()} == written | {
        "confusion.png", "reliability.png", "curve.png", "tensorboard",
    }  # fmt: skip
    events = EventAccumulator(str(output / "tensorboard")).Reload()
    assert [point.step for point in events.Scalars("valid_loss")] == [1, 2, 3, 4, 5, 6]
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
    assert 0.25 <= checkpoint.temperature <= 4
    assert 0 < checkpoint.uncertain_below <= 1
    assert checkpoint.split_sha256 == read_split(output / "split.csv").sha256()
    assert len(load_checkpoint(output / "last.ckpt").history) == 6


@pytest.mark.parametrize("kind", ["checkpoint", "graph"])
def test_evaluate_gives_the_same_figures(trained, folder, tmp_path, kind):
    model = trained[0] / "best.ckpt"
    if kind == "graph":
        write_graph(load_checkpoint(model), tmp_path / "genre.onnx")
        model = tmp_path / "genre.onnx"
    command = [sys.executable, "-m", "train.evaluate", "--checkpoint", model, "--data", folder]
    command += ["--split", trained[0] / "split.csv", "--output", tmp_path]
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    expected = json.loads((trained[0] / "metrics.json").read_text())["test"]
    given = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert given.keys() == expected.keys()
    for name in ("track_accuracy", "negative_log_likelihood", "calibration_error"):
        assert given[name] == pytest.approx(expected[name], abs=1e-4)
    assert given["confusion"] == expected["confusion"]


def test_resumes_where_it_stopped(folder, tmp_path):
    """An interrupted run, gone on with, draws the same curve as one in one piece."""
    split = read_split(folder / "split.csv")
    chunks = Chunks(*decode_clips(find_clips(folder)), GENRES)
    features = extract(chunks, Features(), torch.device("cpu"))
    masks = {part: split.mask(chunks, part) for part in ("train", "valid")}
    sets = {part: (features[mask], chunks.subset(mask)) for part, mask in masks.items()}
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


def test_patience_ends_a_run():
    fit = Fit(Config(epochs=10, batch=16, patience=2), list(GENRES), torch.device("cpu"), {})
    over = []
    for epoch, accuracy in enumerate([0.4, 0.6, 0.6, 0.5], start=1):
        fit.history.append({"epoch": epoch, "valid_track_accuracy_macro": accuracy, "valid_loss": 1.0 + epoch})
        over.append(fit.is_over)
    assert over == [False, False, False, True]
    assert fit.best["epoch"] == 2  # of equals the one of lower loss


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


def test_cross_validation_by_artist(folder, tmp_path):
    index = folder / "artists.csv"
    rows = [f"{genre}.{number:05},{genre} artist {number // 2}" for genre in GENRES for number in range(10)]
    index.write_text("\n".join(["clip,artist", *rows]) + "\n")
    options = ("--data", folder, "--output", tmp_path, "--split", "artist", "--artists", index, "--folds", 3)
    recipe = ("--epochs", 2, "--batch", 16, "--hop", 3)
    first = train(*options, *recipe, "--fold", 0)
    assert first.returncode == 0, first.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["fold-0"]
    assert "holds a run already" in train(*options, *recipe).stderr
    before = (tmp_path / "fold-0" / "best.ckpt").read_bytes()
    rest = train(*options, *recipe, "--resume")
    assert rest.returncode == 0, rest.stderr
    assert (tmp_path / "fold-0" / "best.ckpt").read_bytes() == before  # done, and left alone
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["test"]["tracks"] == 27  # each of nine whole clips a genre, once
    assert np.sum(metrics["test"]["confusion"], axis=1).tolist() == [9, 9, 9]
    assert "All 3 folds together" in rest.stdout
    for other in (("--seed", 1), ("--split-seed", 1)):
        refused = train(*options, *recipe, "--resume", *other)
        assert refused.returncode == 2
        assert "was trained on another split or with other settings" in refused.stderr
    tables = [read_split(tmp_path / f"fold-{fold}" / "split.csv") for fold in range(3)]
    for other in (tables[1], tables[2]):
        assert not tables[0].clips("test") & other.clips("test")


def test_random_chunks_are_trained_with_a_warning(folder, tmp_path):
    options = ("--data", folder, "--output", tmp_path, "--split", "random-chunk", "--epochs", 2, "--batch", 16)
    ended = train(*options)
    assert ended.returncode == 0, ended.stderr
    assert "WARNING: random-chunk puts chunks of one recording on both sides" in ended.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["train"]["chunks"] + metrics["valid"]["chunks"] + metrics["test"]["chunks"] == 54
    assert "random-chunk" in load_checkpoint(tmp_path / "best.ckpt").trained_on
