"""`python -m train` from folders to best.ckpt, on three synthetic genres."""

import json
import shutil

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.support.disk import files_no_larger_than
from train.__main__ import parse_args
from train.data.splits import read_split
from train.network.checkpoint import load_checkpoint


def test_trains_and_writes_a_checkpoint(trained, folder, genres):
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
    assert metrics["train"]["tracks"] == 15  # clips shorter than a chunk train, but are not scored
    assert np.sum(metrics["test"]["confusion"]) == 6
    assert metrics["test"]["track_accuracy"] > 0.95
    assert "recall" in ended.stdout

    checkpoint = load_checkpoint(output / "best.ckpt")
    assert checkpoint.labels == genres
    assert checkpoint.metrics == metrics
    assert checkpoint.config["epochs"] == 6
    assert checkpoint.config["cache"] == (0 if torch.cuda.is_available() else 3)  # the default depends on the machine
    assert 0.25 <= checkpoint.temperature <= 4
    assert 0 < checkpoint.uncertain_below <= 1
    assert checkpoint.split_sha256 == read_split(output / "split.csv").sha256()
    assert len(load_checkpoint(output / "last.ckpt").history) == 6


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "nowhere"], "nowhere is not a folder"),
        (["--split", "nowhere.csv"], "There is no split nowhere.csv"),
        (["--split", "fault-filtered"], "contains no clip"),
        (["--device", "cuda"], "finds no CUDA device"),
        (["--resume"], "There is no checkpoint"),
        (["--batch", "1"], "--batch must be at least 2"),
        (["--learning-rate", "nan"], "--learning-rate must be from"),
        (["--crop", "inf"], "--crop must be from"),
        (["--net", "transfer", "--mask-frames", "20"], "--mask-frames is for networks that are trained in epochs"),
        (["--refit", "--patience", "3"], "use one of them"),
        (["--net", "transfer", "--teacher", "transfer"], "--teacher is for networks that are trained in epochs"),
        (["--unlabelled", "."], "--unlabelled needs --teacher"),
        (["--teacher", "transfer", "--unlabelled", "nowhere"], "nowhere holds no audio files"),
        (["--output", __file__], "File exists"),
    ],
)
def test_says_what_is_wrong_in_one_sentence(train, arguments, says, folder, tmp_path):
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    words = {"--data": folder, "--split": folder / "split.csv", "--output": tmp_path}
    ended = train(
        *[word for pair in words.items() for word in pair], *arguments
    )  # argparse takes the last of two equal options
    assert ended.returncode == 2
    assert says in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_options_take_fractions():
    args = parse_args(["--data", "a", "--output", "b", "--mixup", "0.2", "--gain", "1.5", "--refit"])
    assert (args.mixup, args.gain, args.refit) == (0.2, 1.5, "validation")
    assert parse_args(["--data", "a", "--output", "b"]).refit == "no"


def test_refit_resumes_where_it_stopped(train, folder, tmp_path):
    """A run that stopped between its two trainings resumes with the second, and only with the same settings."""
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
    assert one.metrics["train"]["tracks"] == 21  # the validation clips are among them


def test_refit_on_all_clips_tells_the_accuracy_of_the_run_before(train, evaluate, folder, tmp_path):
    words = ("--net", "transfer", "--data", folder, "--split", folder / "split.csv")
    for refit in ("validation", "all"):
        ended = train(*words, "--output", tmp_path / refit, "--refit", refit)
        assert ended.returncode == 0, ended.stderr
    before, after = (load_checkpoint(tmp_path / refit / "best.ckpt") for refit in ("validation", "all"))
    assert (before.metrics, before.temperature) == (after.metrics, after.temperature)
    assert [each.trained_on[:8] for each in (before, after)] == ["24 clips", "30 clips"]
    tested = load_checkpoint(tmp_path / "all" / "test" / "best.ckpt")
    assert (tested.metrics, tested.trained_on) == (before.metrics, before.trained_on)
    assert not torch.equal(after.model_state_dict["heard.weight"], before.model_state_dict["heard.weight"])
    for checkpoint, warnings in (("test/best.ckpt", 0), ("best.ckpt", 1)):
        ended = evaluate(
            *("--checkpoint", tmp_path / "all" / checkpoint, "--data", folder, "--output", tmp_path / "scored"),
            *("--split", tmp_path / "all" / "split.csv"),
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr.count("WARNING") == warnings


def test_a_finished_run_is_not_trained_over(train, trained, folder):
    output, _ = trained
    before = (output / "best.ckpt").read_bytes()
    ended = train("--data", folder, "--split", folder / "split.csv", "--output", output)
    assert ended.returncode == 2
    assert "already holds a run" in ended.stderr
    assert (output / "best.ckpt").read_bytes() == before


def test_a_run_whose_checkpoint_is_damaged_is_not_resumed(train, trained, folder, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(trained[0], output)
    content = torch.load(output / "last.ckpt", weights_only=True)
    torch.save(content | {"temperature": float("nan")}, output / "last.ckpt")
    ended = train("--data", folder, "--split", folder / "split.csv", "--output", output, "--resume")
    assert ended.returncode == 2
    says = f"train: {output / 'last.ckpt'} is a checkpoint that contains impossible values: temperature.\n"
    assert ended.stderr == says


@pytest.mark.parametrize("limit", [10, 200_000])  # bytes: nothing can be written; only checkpoints are too large
def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_stays(train, trained, folder, tmp_path, limit):
    words = ("--data", folder, "--split", folder / "split.csv", "--batch", 8)
    with files_no_larger_than(limit):
        ended = train(*words, "--output", tmp_path / "new", "--epochs", 1, "--cache", 0)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith(": File too large.")
    assert "Traceback" not in ended.stderr
    assert not [path for path in (tmp_path / "new").iterdir() if path.suffix in {".ckpt", ".part"}]

    output = tmp_path / "run"
    shutil.copytree(trained[0], output)
    before = {path: path.read_bytes() for path in output.glob("*.*")}
    with files_no_larger_than(limit):
        ended = train(*words, "--output", output, "--epochs", 6, "--recalibrate", "--resume")
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.splitlines()[-1].endswith(": File too large.")
    assert {path: path.read_bytes() for path in output.glob("*.ckpt")}.items() <= before.items()
    assert set(output.glob("*.*")) == before.keys()


def test_cross_validation_by_artist(train, folder, tmp_path, genres):
    index = folder / "artists.csv"
    rows = [f"{genre}.{number:05},{genre} artist {number // 2}" for genre in genres for number in range(10)]
    index.write_text("\n".join(["clip,artist", *rows]) + "\n")
    options = ("--data", folder, "--output", tmp_path, "--split", "artist", "--artists", index, "--folds", 3)
    recipe = ("--epochs", 2, "--batch", 16, "--cache", 1)
    first = train(*options, *recipe, "--fold", 0)
    assert first.returncode == 0, first.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["fold-0"]
    assert "already holds a run" in train(*options, *recipe).stderr
    before = (tmp_path / "fold-0" / "best.ckpt").read_bytes()
    rest = train(*options, *recipe, "--resume")
    assert rest.returncode == 0, rest.stderr
    assert (tmp_path / "fold-0" / "best.ckpt").read_bytes() == before  # it was done and stays unchanged
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["test"]["tracks"] == 27  # each of the nine scored clips per genre, once
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


def test_random_chunks_are_trained_with_a_warning(train, evaluate, folder, tmp_path):
    options = ("--data", folder, "--output", tmp_path, "--split", "random-chunk", "--epochs", 2, "--batch", 16)
    ended = train(*options)
    assert ended.returncode == 0, ended.stderr
    assert "WARNING: random-chunk puts chunks of one recording into several parts" in ended.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["train"]["chunks"] + metrics["valid"]["chunks"] + metrics["test"]["chunks"] == 54
    assert "random-chunk" in load_checkpoint(tmp_path / "best.ckpt").trained_on
    words = ["--checkpoint", tmp_path / "best.ckpt", "--data", folder, "--split", tmp_path / "split.csv"]
    ended = evaluate(*words, "--output", tmp_path / "scored")
    assert ended.returncode == 0, ended.stderr
    assert "WARNING: split.csv puts chunks of one recording into several parts" in ended.stderr


def test_copies_in_two_parts_are_left_out(train, folder, tmp_path):
    """A recording that is tested is not trained on under another name, whatever the split says."""
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
    assert "left out: copy, the same recording as chords.00009, which is in test" in ended.stdout
    written = read_split(output / "split.csv")
    assert "copy" not in written.clips("train")
    assert "chords.00009" in written.clips("test")
