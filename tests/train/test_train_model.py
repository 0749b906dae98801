import pytest
import torch

from train.checkpoint import Checkpoint, load_checkpoint
from train.model import GenreCNN, GenreNet, Standardise


def test_thirty_thousand_parameters():
    assert sum(parameter.numel() for parameter in GenreCNN().parameters()) == 30_026


def test_log_probabilities_and_embedding():
    network = GenreNet(labels=4).eval()
    network.classifier.bn_fc.running_mean += 0.1
    features = torch.randn(3, 5, 40, 130)
    log_probs, embedding = network.classify(features)
    assert log_probs.shape == (3, 4)
    assert embedding.shape == (3, 128)
    assert torch.allclose(log_probs.exp().sum(dim=1), torch.ones(3))
    # At first nothing is standardised or tempered.
    assert torch.allclose(log_probs, network.classifier(features), atol=1e-6)
    assert torch.allclose(torch.log_softmax(network.classifier.out(embedding), dim=1), log_probs)


def test_temperature_divides_what_goes_into_the_softmax():
    network = GenreNet().eval()
    features = torch.randn(2, 5, 40, 130)
    logits = network.classifier.out(network.classifier.embed(features))
    network.temperature.fill_(2.5)
    assert torch.allclose(network.classify(features)[0], torch.log_softmax(logits / 2.5, dim=1))


def test_standardise():
    features = torch.randn(50, 5, 40, 130) * 7 + 3
    features[:, 4, 0] = 1.0  # a coefficient that never moves
    standardise = Standardise()
    assert torch.equal(standardise(features), features)
    standardise.fit(features)
    standardised = standardise(features)
    assert standardised.mean(dim=(0, 3)).abs().max() < 1e-4
    assert standardised.std(dim=(0, 3))[:4].sub(1).abs().max() < 1e-4
    assert torch.isfinite(standardised).all()


def test_checkpoint_gives_back_the_network(tmp_path):
    network = GenreNet(labels=3).eval()
    network.standardise.fit(torch.randn(9, 5, 40, 130) * 2)
    network.temperature.fill_(1.5)
    path = tmp_path / "best.ckpt"
    Checkpoint(
        model_state_dict=network.classifier.state_dict(),
        labels=["a", "b", "c"],
        mean=network.standardise.mean,
        deviation=network.standardise.deviation,
        temperature=1.5,
        metrics={"test": {"track_accuracy": 0.5}},
    ).save(path)
    loaded = load_checkpoint(path)
    features = torch.randn(2, 5, 40, 130)
    assert torch.equal(loaded.network().classify(features)[0], network.classify(features)[0])
    assert loaded.metrics == {"test": {"track_accuracy": 0.5}}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.gtzan
def test_original_checkpoint_loads_unchanged(data):
    path = data / "original" / "withweightdecay5channels.ckpt"
    weights = torch.load(path, map_location="cpu", weights_only=False)["model_state_dict"]
    GenreCNN().load_state_dict(weights)
    ours = load_checkpoint(path).network().classifier.state_dict()
    assert ours.keys() == weights.keys()
    assert all(torch.equal(ours[name], weights[name]) for name in weights)
