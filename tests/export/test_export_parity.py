"""The proof of parity: it accepts the graph of a network, and finds every output that differs."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from export.graph import write_graph
from export.parity import ParityError, compare, open_sessions, table
from export.signals import synthetic_chunks
from genre_classifier.session import GenreSession
from train.errors import TrainingError
from train.network.base import EmbeddingClassifier, GenreNet, Standardise
from train.network.checkpoint import Checkpoint
from train.network.table import NETWORKS, Network, build_network

TAGS = ("loud", "quiet")
SIZE = 441  # samples whose mean magnitude is an input; 150 in a chunk


class Loudness(nn.Module):
    def forward(self, waveform):
        return waveform.clamp(-1, 1).reshape(-1, 66150 // SIZE, SIZE).abs().mean(dim=2)


class Direct(EmbeddingClassifier):
    def pool(self, inputs):
        return inputs


class TaggingNet(GenreNet):
    """A network with all outputs of the contract."""

    outputs = ("log_probs", "embedding", "tags", "familiarity")
    tags = TAGS
    licence = "Apache-2.0 AND ISC"

    def classify(self, prepared):
        log_probs, embedding = super().classify(prepared)
        loud = torch.sigmoid(prepared.mean(dim=1, keepdim=True))
        return log_probs, embedding, torch.cat([loud, 1 - loud], dim=1), prepared.amax(dim=1)


def build(labels):
    """This file is the file of a network: a line in the table is all that is missing."""
    return TaggingNet(Loudness(), Standardise((66150 // SIZE,)), Direct(66150 // SIZE, labels))


@pytest.fixture(scope="module")
def tagging(tmp_path_factory):
    """A graph with tags and familiarity, and its network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tagging", Network(__name__))
        torch.manual_seed(0)
        weights = build_network("tagging", 3).classifier.state_dict()
        path = tmp_path_factory.mktemp("tagging") / "tagging.onnx"
        return path, write_graph(Checkpoint(weights, ["a", "b", "c"], net="tagging", recognised_above=0.2), path)


def test_agrees_with_pytorch_at_every_batch_size(graph):
    path, network = graph
    rows = compare(network, open_sessions(path)[0], synthetic_chunks())
    assert {row.batch for row in rows} == {1, 2, 7, 64}
    assert {name for row in rows for name in row.differences} == {"log_probs", "embedding"}
    # Noise at -90 dB, silence, an impulse and the like contain ties; one of these chunks may be decided differently.
    assert all(len(row.beyond) <= 1 and not row.genre_differs.any() for row in rows), table(rows)


def test_the_transfer_network_agrees_in_all_outputs(transfer_graph):
    """Silence, an impulse, chunks far beyond full scale and all the others, at every batch size."""
    path, network = transfer_graph
    rows = compare(network, open_sessions(path)[0], synthetic_chunks())
    assert {row.batch for row in rows} == {1, 2, 7, 64}
    for row in rows:
        assert list(row.differences) == ["log_probs", "embedding", "tags", "familiarity"]
        assert not row.beyond, table(rows)
        assert not row.genre_differs.any()


def test_a_difference_in_the_embedding_alone_is_found(graph, checkpoint):
    path, _ = graph
    other = checkpoint.network()
    with torch.no_grad():
        other.classifier.bn_fc.bias += 0.1
        # This keeps the log-probabilities as they were.
        other.classifier.out.bias -= 0.1 * other.classifier.out.weight.sum(dim=1)
    rows = compare(other, open_sessions(path)[0], synthetic_chunks())
    assert all(row.differences["log_probs"].max() < 1e-3 for row in rows)
    assert not any(row.agrees for row in rows)


def test_a_wrong_graph_is_found(graph, checkpoint):
    path, _ = graph
    other = checkpoint.network()
    with torch.no_grad():
        other.classifier.out.bias[0] += 0.01
    rows = compare(other, open_sessions(path)[0], synthetic_chunks())
    assert not any(row.agrees for row in rows)
    assert "beyond: silence" in table(rows)


def test_a_network_with_more_outputs_is_a_file_and_a_line(tagging):
    path, network = tagging
    session = GenreSession(path, provider="cpu")
    assert (session.info.tags, session.info.recognised_above) == (TAGS, 0.2)
    assert (session.info.network, session.info.licence) == ("tagging", "Apache-2.0 AND ISC")
    outputs = session.run(np.stack(list(synthetic_chunks().values()))[:2])
    assert outputs.tags.shape == (2, 2)
    assert outputs.familiarity.shape == (2,)
    rows = compare(network, open_sessions(path)[0], synthetic_chunks())
    assert list(rows[0].differences) == ["log_probs", "embedding", "tags", "familiarity"]
    assert all(row.agrees for row in rows), table(rows)
    assert "familiarity" in table(rows)


@pytest.mark.parametrize("output", ["tags", "familiarity"])
def test_a_difference_in_any_output_is_found(tagging, output, monkeypatch):
    path, network = tagging
    index = network.outputs.index(output)
    right = network.classify

    def wrong(prepared):
        outputs = list(right(prepared))
        outputs[index] = outputs[index] * 1.01
        return tuple(outputs)

    monkeypatch.setattr(network, "classify", wrong)
    rows = compare(network, open_sessions(path)[0], synthetic_chunks())
    assert not any(row.agrees for row in rows)
    others = [name for name in network.outputs if name != output]
    assert all(row.differences[name].max() < 1e-3 for row in rows for name in others)


def test_an_output_that_only_one_of_the_two_has_is_found(tagging, monkeypatch):
    path, network = tagging
    right = network.classify
    monkeypatch.setattr(network, "outputs", network.outputs[:3])
    monkeypatch.setattr(network, "classify", lambda prepared: right(prepared)[:3])
    with pytest.raises(ParityError, match="has the output familiarity"):
        compare(network, open_sessions(path)[0], synthetic_chunks())


def test_a_graph_whose_metadata_does_not_fit_is_refused(graph, tmp_path):
    model = onnx.load(graph[0])
    next(entry for entry in model.metadata_props if entry.key == "sample_rate").value = "16000"
    onnx.save(model, tmp_path / "wrong.onnx")
    with pytest.raises(TrainingError, match="sample_rate"):
        open_sessions(tmp_path / "wrong.onnx")
