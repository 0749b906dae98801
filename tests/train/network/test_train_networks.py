"""What holds for every network of the table, and the original network's size."""

import subprocess
import sys

import pytest
import torch

from export.signals import chord
from genre_classifier.outputs import Outputs
from train.network.base import Standardise
from train.network.cnn import GenreCNN
from train.network.table import NETWORKS, build_network


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture
def prepared(name):
    """A network for four labels, and prepared inputs of three chunks."""
    network = build_network(name, 4).eval()
    with torch.no_grad():
        return network, network.prepare(0.1 * torch.randn(3, 66150))


def test_thirty_thousand_parameters():
    assert sum(parameter.numel() for parameter in GenreCNN().parameters()) == 30_026


def test_outputs_are_named_and_shaped(prepared):
    network, inputs = prepared
    assert network.outputs[:2] == Outputs._fields[:2]
    assert set(network.outputs) <= set(Outputs._fields)
    outputs = dict(zip(network.outputs, network.classify(inputs), strict=True))
    assert outputs["log_probs"].shape == (3, 4)
    assert torch.allclose(outputs["log_probs"].exp().sum(dim=1), torch.ones(3))
    assert outputs["embedding"].shape[0] == 3
    assert ("tags" in outputs) == bool(network.tags)
    if network.tags:
        assert outputs["tags"].shape == (3, len(network.tags))
        assert ((outputs["tags"] >= 0) & (outputs["tags"] <= 1)).all()
    assert outputs.get("familiarity", torch.zeros(3)).shape == (3,)


def test_the_original_networks_embedding_precedes_its_last_layer():
    network = build_network("cnn", 4).eval()
    network.classifier.bn_fc.running_mean += 0.1
    with torch.no_grad():
        inputs = network.prepare(0.1 * torch.randn(3, 66150))
        log_probs, embedding = network.classify(inputs)
        # A new network neither standardises nor has a temperature.
        assert torch.allclose(log_probs, network.classifier(inputs), atol=1e-6)
        assert torch.allclose(torch.log_softmax(network.classifier.out(embedding), dim=1), log_probs)


def test_temperature_divides_the_logits(prepared):
    network, inputs = prepared
    before = network.classify(inputs)[0]
    network.temperature.fill_(2.5)
    assert torch.allclose(network.classify(inputs)[0], torch.log_softmax(before / 2.5, dim=1), atol=1e-6)


def test_the_table_allows_masks_for_images_only(name, prepared):
    _, inputs = prepared
    assert NETWORKS[name].masks == (inputs.dim() == 4)


def test_loudness_is_no_clue():
    """The transfer network hears a chunk 12 dB softer, or far beyond full scale, as it hears the chunk."""
    network = build_network("transfer", 4).eval()
    chunk = torch.from_numpy(chord(440.0)).float()[None]
    with torch.inference_mode():
        outputs = [network(chunk * scale) for scale in (1.0, 0.25, 1000.0)]
    for other in outputs[1:]:
        for one, another in zip(outputs[0], other, strict=True):
            assert torch.allclose(one, another, rtol=1e-4, atol=1e-4)


def test_the_table_is_read_without_pytorch():
    code = "import sys, train.network.table, train.config; print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"


def test_standardise():
    features = torch.randn(50, 5, 40, 130) * 7 + 3
    features[:, 4, 0] = 1.0  # a constant coefficient
    standardise = Standardise((5, 40, 1))
    assert torch.equal(standardise(features), features)
    standardise.fit(features)
    standardised = standardise(features)
    assert standardised.mean(dim=(0, 3)).abs().max() < 1e-4
    assert standardised.std(dim=(0, 3))[:4].sub(1).abs().max() < 1e-4
    assert torch.isfinite(standardised).all()
