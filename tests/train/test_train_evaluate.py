"""`python -m train.evaluate`: the same metrics from the checkpoint and from its graph."""

import json

import pytest
import torch

from export.graph import write_graph
from tests.support.disk import files_no_larger_than
from train.network.checkpoint import load_checkpoint


@pytest.mark.parametrize("kind", ["checkpoint", "graph"])
def test_evaluate_gives_the_same_metrics(evaluate, trained, folder, tmp_path, kind):
    output, _ = trained
    model = output / "best.ckpt"
    if kind == "graph":
        write_graph(load_checkpoint(model), tmp_path / "genre.onnx")
        model = tmp_path / "genre.onnx"
    split = output / "split.csv"
    ended = evaluate("--checkpoint", model, "--data", folder, "--split", split, "--output", tmp_path)
    assert ended.returncode == 0, ended.stderr
    expected = json.loads((output / "metrics.json").read_text())["test"]
    assert "WARNING" not in ended.stderr
    given = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert given.keys() == expected.keys()
    for name in ("track_accuracy", "negative_log_likelihood", "calibration_error"):
        assert given[name] == pytest.approx(expected[name], abs=1e-4)
    assert given["confusion"] == expected["confusion"]


def test_evaluate_warns_of_clips_that_may_be_training_clips(evaluate, trained, folder, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text((folder / "split.csv").read_text().replace("chords.00000,train", "chords.00000,valid"))
    checkpoint = trained[0] / "best.ckpt"
    ended = evaluate("--checkpoint", checkpoint, "--data", folder, "--split", other, "--output", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "was trained with another split" in ended.stderr


def test_evaluate_scores_every_clip_of_another_folder(evaluate, trained, folder, tmp_path):
    """Also of genres in another order, of which one is missing; excerpts are too short to be scored."""
    for genre in ("hiss", "beeps"):
        (tmp_path / "elsewhere" / genre).mkdir(parents=True)
        for path in sorted((folder / genre).glob("*.wav"))[:4]:
            (tmp_path / "elsewhere" / genre / path.name).symlink_to(path)
    words = ("--checkpoint", trained[0] / "best.ckpt", "--data", tmp_path / "elsewhere", "--split", "all")
    ended = evaluate(*words, "--output", tmp_path / "scored")
    assert ended.returncode == 0, ended.stderr
    assert "WARNING" not in ended.stderr
    test = json.loads((tmp_path / "scored" / "metrics.json").read_text())["test"]
    assert test["tracks"] == 6
    assert test["genres"].keys() == {"beeps", "hiss"}
    assert "beeps.0" not in (tmp_path / "scored" / "metrics.json").read_text()  # figures, no names


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere.ckpt", "There is no checkpoint"),
        ("nowhere.onnx", "There is no model file"),
        ("song.ckpt", "is not a checkpoint"),
        ("song.onnx", "is not a model that ONNX Runtime can load"),
    ],
)
def test_evaluate_refuses_what_is_no_model(evaluate, folder, tmp_path, name, says):
    if name.startswith("song"):
        (tmp_path / name).write_bytes(b"ID3")
    ended = evaluate("--checkpoint", tmp_path / name, "--data", folder, "--output", tmp_path / "scored")
    assert ended.returncode == 2
    assert says in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_evaluate_refuses_a_damaged_checkpoint(evaluate, trained, folder, tmp_path):
    path = tmp_path / "best.ckpt"
    torch.save(torch.load(trained[0] / "best.ckpt", weights_only=True) | {"labels": [1, 2, 3]}, path)
    ended = evaluate("--checkpoint", path, "--data", folder, "--output", tmp_path / "scored")
    assert ended.returncode == 2
    assert ended.stderr == f"train.evaluate: {path} is a checkpoint that contains impossible values: labels.\n"


def test_a_full_disk_is_one_sentence(evaluate, trained, folder, tmp_path):
    words = ("--checkpoint", trained[0] / "best.ckpt", "--data", folder, "--split", trained[0] / "split.csv")
    for limit, name in ((10, "metrics.json"), (10_000, "confusion.png")):
        with files_no_larger_than(limit):
            ended = evaluate(*words, "--output", tmp_path)
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1] == f"train.evaluate: {tmp_path / name}: File too large."
        assert "Traceback" not in ended.stderr
        assert not (tmp_path / name).exists()
        assert not list(tmp_path.glob(".*"))
