"""Checkpoints: what is saved is loaded again, also from version 0.1.0 and from the original project."""

import re

import pytest
import torch

from tests.support.disk import files_no_larger_than
from train.errors import TrainingError
from train.network.checkpoint import Checkpoint, load_checkpoint
from train.network.cnn import GenreCNN
from train.network.table import NETWORKS, build_network


def checkpoint_of(network, net, **facts):
    return Checkpoint(
        model_state_dict=network.classifier.state_dict(),
        labels=["a", "b", "c"],
        mean=network.standardise.mean,
        deviation=network.standardise.deviation,
        net=net,
        **facts,
    )


@pytest.mark.parametrize("net", NETWORKS)
def test_checkpoint_gives_back_the_network(net, tmp_path):
    network = build_network(net, 3).eval()
    with torch.inference_mode():
        prepared = network.prepare(0.1 * torch.randn(9, 66150))
    network.standardise.fit(prepared)
    network.temperature.fill_(1.5)
    path = tmp_path / "best.ckpt"
    checkpoint_of(network, net, temperature=1.5, metrics={"test": {"track_accuracy": 0.5}}).save(path)
    loaded = load_checkpoint(path)
    with torch.inference_mode():
        for given, expected in zip(loaded.network().classify(prepared), network.classify(prepared), strict=True):
            assert torch.equal(given, expected)
    assert loaded.net == net
    assert loaded.metrics == {"test": {"track_accuracy": 0.5}}
    assert list(tmp_path.iterdir()) == [path]


def test_version_0_1_0_called_the_cnn_original(tmp_path):
    network = build_network("cnn", 3)
    content = vars(checkpoint_of(network, "original", config={"net": "original", "epochs": 2}))
    del content["recognised_above"]  # a field that it did not have
    torch.save(content, tmp_path / "best.ckpt")
    loaded = load_checkpoint(tmp_path / "best.ckpt")
    assert loaded.net == "cnn"
    assert loaded.config == {"net": "cnn", "epochs": 2}
    assert loaded.network().classifier.state_dict().keys() == network.classifier.state_dict().keys()


def test_the_statistics_network_is_gone(tmp_path):
    content = vars(checkpoint_of(build_network("cnn", 3), "statistics", config={"net": "statistics"}))
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(TrainingError, match="network statistics, which only version 0"):
        load_checkpoint(tmp_path / "best.ckpt")


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"temperature": 0.0}, "impossible values: temperature."),
        ({"temperature": float("nan")}, "impossible values: temperature."),
        ({"temperature": "1"}, "impossible values: temperature."),
        ({"uncertain_below": float("nan")}, "impossible values: uncertain_below."),
        ({"uncertain_below": None}, "impossible values: uncertain_below."),
        ({"recognised_above": float("nan")}, "impossible values: recognised_above."),
        ({"recognised_above": "0"}, "impossible values: recognised_above."),
        ({"labels": ["a", "b", "b"]}, "impossible values: labels."),
        ({"labels": [1, 2, 3]}, "impossible values: labels."),
        ({"labels": "abc"}, "impossible values: labels."),
        ({"labels": []}, "impossible values: labels."),
        ({"labels": ["a", "b"]}, "weights do not fit its network, cnn for 2 labels."),
        ({"net": "transformer"}, "impossible values: net."),
        ({"net": ["cnn"]}, "impossible values: net."),
        ({"net": "transfer"}, "weights do not fit its network, transfer for 3 labels."),
        ({"model_state_dict": {}}, "weights do not fit"),
        ({"model_state_dict": {"out.weight": "heavy"}}, "impossible values: model_state_dict."),
        ({"model_state_dict": torch.zeros(3)}, "impossible values: model_state_dict."),
        ({"mean": None}, "impossible values: mean."),
        ({"mean": torch.zeros(3)}, "weights do not fit"),
        ({"mean": torch.zeros(())}, "weights do not fit"),
        ({"mean": [0.0]}, "impossible values: mean."),
        ({"deviation": torch.zeros(5, 40, 1)}, "impossible values: deviation."),
        ({"trained_on": 3, "split_sha256": None}, "impossible values: trained_on, split_sha256."),
        ({"metrics": []}, "impossible values: metrics."),
        ({"metrics": {"test": torch.zeros(1)}}, "impossible values: metrics."),
        ({"config": None}, "impossible values: config."),
        ({"history": [{"epoch": "one"}]}, "impossible values: history."),
        ({"resume": "please"}, "impossible values: resume."),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(facts, says, tmp_path):
    content = vars(checkpoint_of(build_network("cnn", 3), "cnn")) | facts
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(TrainingError, match=re.escape(says)):
        load_checkpoint(tmp_path / "best.ckpt")


@pytest.mark.parametrize("name", [name for name in vars(Checkpoint({})) if name != "recognised_above"])
def test_a_checkpoint_that_lacks_a_field_is_refused(name, tmp_path):
    content = dict(vars(checkpoint_of(build_network("cnn", 3), "cnn")))
    del content[name]
    torch.save(content, tmp_path / "best.ckpt")
    says = "is not a checkpoint of this network" if name == "model_state_dict" else f"is a checkpoint that lacks {name}"
    with pytest.raises(TrainingError, match=f"{says}.$"):
        load_checkpoint(tmp_path / "best.ckpt")


@pytest.mark.parametrize("content", [[], {}, {"labels": ["a"]}, torch.zeros(3), "text"])
def test_other_files_of_torch_are_no_checkpoints(content, tmp_path):
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(TrainingError, match=r"is not a checkpoint of this network\.$"):
        load_checkpoint(tmp_path / "best.ckpt")


def test_a_truncated_checkpoint_and_a_folder_are_refused(tmp_path):
    path = tmp_path / "best.ckpt"
    checkpoint_of(build_network("cnn", 3), "cnn").save(path)
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(TrainingError, match=r"is not a checkpoint of this network\.$"):
            load_checkpoint(path)
    with pytest.raises(TrainingError, match=r"cannot be read: Is a directory\.$"):
        load_checkpoint(tmp_path)


def test_on_a_full_disk_the_last_checkpoint_stays(tmp_path):
    path = tmp_path / "last.ckpt"
    checkpoint = checkpoint_of(build_network("cnn", 3), "cnn")
    checkpoint.save(path)
    before = path.read_bytes()
    with files_no_larger_than(len(before) // 2), pytest.raises(OSError, match="File too large") as refused:
        checkpoint.save(path)
    assert refused.value.filename == str(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.gtzan
def test_original_checkpoint_loads_unchanged(data):
    path = data / "original" / "withweightdecay5channels.ckpt"
    weights = torch.load(path, map_location="cpu", weights_only=False)["model_state_dict"]
    GenreCNN().load_state_dict(weights)
    ours = load_checkpoint(path).network().classifier.state_dict()
    assert ours.keys() == weights.keys()
    assert all(torch.equal(ours[name], weights[name]) for name in weights)
