"""The pre-trained body: pruned, it says what the published network says; its weights are the ones that were made."""

import json
import zipfile

import numpy as np
import pytest
import torch

from tests.support import ROOT
from tests.train.network import unpruned
from train.errors import TrainingError
from train.network import body_weights
from train.network.body import TAGS, Body
from train.network.body_weights import WEIGHTS, load_weights, main, make_weights, prune, weights_digest

LOGITS = ROOT / "tests" / "cases" / "musicnn_logits.json"


def test_pruning_changes_nothing():
    """On random weights of the original shapes, most of them dead: against the published network, layer by layer."""
    rng = np.random.default_rng(0)
    whole = unpruned.random_weights(rng)
    weights = prune(whole)
    kept = sum(len(weights[f"front.{number}.bias"]) for number in range(5))
    assert kept < 120  # of 714
    bands = torch.from_numpy(rng.uniform(0.0, 4.0, (3, 96, 187))).float()
    embedding, logits = unpruned.run(whole, bands)
    with torch.inference_mode():
        pools, given, tags = Body(weights)(bands)
    assert pools.shape[1] == 2 * (kept + len(weights["middle.0.scale"]) + 2 * 64)
    scale = embedding.abs().max()
    assert (given - embedding).abs().max() < 1e-4 * scale
    assert (tags - logits).abs().max() < 1e-4 * logits.abs().max()


def test_the_logits_are_those_of_the_original():
    """On fixed inputs, against numbers that the unpruned network gave with the weights of the wheel."""
    expected = torch.tensor(json.loads(LOGITS.read_text())["logits"])
    with torch.inference_mode():
        _, _, tags = Body(load_weights())(unpruned.fixed_inputs())
    assert expected.shape == (2, len(TAGS))
    assert expected.std() > 0.5
    assert (tags - expected).abs().max() < 1e-3


def test_other_weights_are_refused(tmp_path):
    weights = load_weights()
    weights["tags.bias"] = weights["tags.bias"] + np.float32(1e-3)
    np.savez(tmp_path / "other.npz", **weights)
    with pytest.raises(TrainingError, match="its SHA-256 digest differs"):
        load_weights(tmp_path / "other.npz")
    (tmp_path / "cut.npz").write_bytes(WEIGHTS.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="cannot be read"):
        load_weights(tmp_path / "cut.npz")


def test_the_licence_travels_with_the_weights():
    notice = WEIGHTS.with_suffix(".NOTICE.txt").read_text()
    assert "Copyright (c) Music Technology Group, Universitat Pompeu Fabra" in notice
    assert "this permission notice appear in all copies" in notice


def test_only_the_wheel_makes_weights(tmp_path, capsys):
    wheel = tmp_path / "musicnn-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"no wheel")
    assert main([str(wheel), "--output", str(tmp_path / "body.npz")]) == 2
    assert "is not the wheel of musicnn 0.1.0" in capsys.readouterr().err
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (*body_weights.DIGESTS, body_weights.LICENCE):
            archive.writestr(name, b"other content")
    with pytest.raises(TrainingError, match="its digest differs"):
        make_weights(wheel)
    assert [path.name for path in tmp_path.iterdir()] == [wheel.name]


def test_the_digest_is_of_names_shapes_and_values():
    one = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}
    others = [{"b": one["a"]}, {"a": one["a"].T.copy()}, {"a": one["a"] + 1}]
    digests = {weights_digest(each) for each in (one, *others)}
    assert len(digests) == 4
    assert weights_digest({"a": np.asfortranarray(one["a"])}) == weights_digest(one)
