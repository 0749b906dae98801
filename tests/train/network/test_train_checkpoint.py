"""Checkpoints: what is saved is loaded again, also from version 0.1.0 and from the original project."""

import pytest
import torch

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
        ({"temperature": 0.0}, "impossible values"),
        ({"recognised_above": float("nan")}, "impossible values"),
        ({"labels": ["a", "b", "b"]}, "impossible values"),
        ({"labels": ["a", "b"]}, "is not a checkpoint"),
        ({"net": "transformer"}, "is not a checkpoint"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(facts, says, tmp_path):
    content = vars(checkpoint_of(build_network("cnn", 3), "cnn")) | facts
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(TrainingError, match=says):
        load_checkpoint(tmp_path / "best.ckpt")


@pytest.mark.gtzan
def test_original_checkpoint_loads_unchanged(data):
    path = data / "original" / "withweightdecay5channels.ckpt"
    weights = torch.load(path, map_location="cpu", weights_only=False)["model_state_dict"]
    GenreCNN().load_state_dict(weights)
    ours = load_checkpoint(path).network().classifier.state_dict()
    assert ours.keys() == weights.keys()
    assert all(torch.equal(ours[name], weights[name]) for name in weights)
