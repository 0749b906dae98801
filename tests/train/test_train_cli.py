"""`python -m train` from folders to best.ckpt, on three genres synthesised here."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from export.graph import write_graph
from train.__main__ import parse_args
from train.augment import Crops
from train.checkpoint import load_checkpoint
from train.config import Config
from train.data import Chunks, decode_clips, find_clips
from train.errors import TrainingError
from train.fit import Fit
from train.inputs import prepare_all
from train.model import GenreNet
from train.splits import read_split

GENRES = ("beeps", "chords", "hiss")


def train(*arguments):
    command = [sys.executable, "-m", "train", *map(str, arguments)]
    # Two minutes are promised for three genres on two cores.
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    recipe = ("--epochs", 6, "--batch", 16)
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
    assert metrics["test"]["track_accuracy"] > 0.95
    assert "recall" in ended.stdout

    checkpoint = load_checkpoint(output / "best.ckpt")
    assert checkpoint.labels == list(GENRES)
    assert checkpoint.metrics == metrics
    assert checkpoint.config["epochs"] == 6
    assert checkpoint.config["cache"] == (0 if torch.cuda.is_available() else 3)  # by the machine, where none is asked
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
    assert "WARNING" not in ended.stderr
    given = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert given.keys() == expected.keys()
    for name in ("track_accuracy", "negative_log_likelihood", "calibration_error"):
        assert given[name] == pytest.approx(expected[name], abs=1e-4)
    assert given["confusion"] == expected["confusion"]


@pytest.mark.parametrize(
    ("net", "options"),
    [("original", {"cache": 1, "mask_frames": 20, "mask_coefficients": 6}), ("statistics", {"cache": 0})],
)
def test_resumes_where_it_stopped(net, options, folder, tmp_path):
    """An interrupted run, gone on with, draws the same curve as one in one piece."""
    split = read_split(folder / "split.csv")
    chunks = Chunks(*decode_clips(find_clips(folder)), GENRES)
    config = Config(net=net, epochs=3, batch=16, mixup=0.2, **options)
    network = GenreNet(len(GENRES), net).eval()
    inputs = prepare_all(chunks, network.prepare, Crops(chunks, config), config.cache)
    sets = [inputs.part(split, part) for part in ("train", "valid")]
    device = torch.device("cpu")

    whole = Fit(config, list(GENRES), device, {})
    whole.run(*sets, tmp_path)

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
        first.run(*sets, tmp_path)
    best = load_checkpoint(tmp_path / "best.ckpt")  # serves as it is
    assert best.metrics["valid"] == whole.history[int(best.history[-1]["epoch"]) - 1]
    assert 0 < best.uncertain_below <= 1

    with pytest.raises(TrainingError, match="another split"):
        Fit(config, list(GENRES), device, {"split_sha256": "of other clips"}).resume(tmp_path / "last.ckpt")
    with pytest.raises(TrainingError, match="another epochs"):
        Fit(replace(config, epochs=4), list(GENRES), device, {}).resume(tmp_path / "last.ckpt")
    second = Fit(config, list(GENRES), device, {})
    second.resume(tmp_path / "last.ckpt")
    second.run(*sets, tmp_path)
    assert second.history == whole.history


def test_patience_ends_a_run():
    fit = Fit(Config(epochs=10, batch=16, patience=2), list(GENRES), torch.device("cpu"), {})
    over = []
    for epoch, accuracy in enumerate([0.4, 0.6, 0.6, 0.5], start=1):
        fit.history.append({"epoch": epoch, "valid_track_accuracy_macro": accuracy, "valid_loss": 1.0 + epoch})
        over.append(fit.is_over)
    assert over == [False, False, False, True]
    assert fit.best["epoch"] == 2  # of equals the one of lower loss


def test_recalibrated_statistics_are_of_what_serving_sees(folder, monkeypatch):
    """Batch normalisation's mean is that of the activations without dropout, not of those in training."""
    chunks = Chunks(*decode_clips(find_clips(folder)), GENRES)
    inputs = prepare_all(chunks, GenreNet(len(GENRES), "original").eval().prepare)
    means = {}
    monkeypatch.setattr("train.fit.RECALIBRATED", 17)  # one more than a batch, and no batch of one may come of it
    for recalibrate in (False, True):
        config = Config(net="original", epochs=1, batch=16, recalibrate=recalibrate)
        fit = Fit(config, list(GENRES), torch.device("cpu"), {})
        fit.network.standardise.fit(inputs.prepared)
        fit.epoch(inputs)
        norm = fit.network.classifier.block2[2]
        seen = []
        handle = norm.register_forward_pre_hook(lambda _, arguments, seen=seen: seen.append(arguments[0].detach()))
        fit.recalibrate(inputs, torch.arange(len(chunks) // 16 * 16))
        handle.remove()
        expected = torch.cat(seen).mean(dim=(0, 2, 3))
        assert torch.allclose(norm.running_mean, expected, atol=1e-5)
        assert norm.momentum == 0.1
        assert not fit.network.classifier.dropout.training
        means[recalibrate] = [value for name, value in fit.network.state_dict().items() if "weight" in name]
    for one, other in zip(*means.values(), strict=True):
        assert torch.equal(one, other)  # it moves no weight


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
        (["--crop", "inf"], "--crop must be from"),
        (["--mask-frames", "20"], "go with --net original"),
        (["--refit", "--patience", "3"], "choose one"),
        (["--output", __file__], "File exists"),
    ],
)
def test_says_what_is_wrong_in_one_sentence(arguments, says, folder, tmp_path):
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    words = {"--data": folder, "--split": folder / "split.csv", "--output": tmp_path}
    ended = train(*[word for pair in words.items() for word in pair], *arguments)  # the last of two options counts
    assert ended.returncode == 2
    assert says in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_options_take_fractions():
    args = parse_args(["--data", "a", "--output", "b", "--mixup", "0.2", "--gain", "1.5", "--refit"])
    assert (args.mixup, args.gain, args.refit) == (0.2, 1.5, True)


def test_refit_goes_on_where_it_stopped(folder, tmp_path):
    """Stopped between its two trainings, a run goes on with the second, and only as it began."""
    options = ("--data", folder, "--split", folder / "split.csv", "--batch", 16, "--epochs", 2, "--cache", 1)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    ended = train(*options, "--output", whole, "--refit")
    assert ended.returncode == 0, ended.stderr
    shutil.copytree(whole / "validation", stopped / "validation")
    refused = train(*options, "--output", stopped, "--resume")
    assert refused.returncode == 2
    assert "trained with another refit" in refused.stderr
    ended = train(*options, "--output", stopped, "--refit", "--resume")
    assert ended.returncode == 0, ended.stderr
    one, other = (load_checkpoint(output / "best.ckpt") for output in (whole, stopped))
    assert one.history == other.history
    assert one.metrics == other.metrics
    assert one.temperature == other.temperature
    assert one.metrics["valid"]["tracks"] == 6
    assert one.metrics["train"]["tracks"] == 21  # validation clips among them


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
    recipe = ("--epochs", 2, "--batch", 16, "--cache", 1)
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
    for other, says in (
        (("--seed", 1), "trained with another seed"),
        (("--split-seed", 1), "trained on another split"),
    ):
        refused = train(*options, *recipe, "--resume", *other)
        assert refused.returncode == 2
        assert says in refused.stderr
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
    words = ["--checkpoint", tmp_path / "best.ckpt", "--data", folder, "--split", tmp_path / "split.csv"]
    command = [sys.executable, "-m", "train.evaluate", *map(str, [*words, "--output", tmp_path / "scored"])]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "WARNING: split.csv puts chunks of one recording on both sides" in ended.stderr


def test_evaluate_warns_of_clips_that_may_have_been_trained_on(trained, folder, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text((folder / "split.csv").read_text().replace("chords.00000,train", "chords.00000,valid"))
    command = [sys.executable, "-m", "train.evaluate", "--checkpoint", trained[0] / "best.ckpt", "--data", folder]
    command += ["--split", other, "--output", tmp_path]
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert "was not trained by this table of clips" in ended.stderr


def test_copies_on_two_sides_are_left_out(folder, tmp_path):
    """Of a split that its user wrote, a recording that is tested is not trained on under another name."""
    data = tmp_path / "music"
    for path in folder.glob("*/*.0000[1-9].wav"):
        (data / path.parent.name).mkdir(parents=True, exist_ok=True)
        (data / path.parent.name / path.name).symlink_to(path)
    table = (folder / "split.csv").read_text()
    tested = folder / "chords" / "chords.00009.wav"
    (data / "chords" / "copy.wav").symlink_to(tested)
    (tmp_path / "split.csv").write_text(table + "copy,train\n")
    output = tmp_path / "run"
    recipe = ("--epochs", 1, "--batch", 16, "--cache", 1)
    ended = train("--data", data, "--split", tmp_path / "split.csv", "--output", output, *recipe)
    assert ended.returncode == 0, ended.stderr
    assert "left out: copy, the same recording as chords.00009, which is for test" in ended.stdout
    written = read_split(output / "split.csv")
    assert "copy" not in written.clips("train")
    assert "chords.00009" in written.clips("test")
