"""The graph: its input, outputs, operators and metadata."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from export.graph import FORBIDDEN
from genre_classifier.session import GenreSession
from train.network.body import TAGS

KEYS = {
    "labels", "sample_rate", "chunk_samples", "version", "temperature", "uncertain_below", "trained_on",
    "split_sha256", "metrics", "licence", "network",
}  # fmt: skip


def test_one_file_by_the_contract(graph):
    path, _ = graph
    assert list(path.parent.iterdir()) == [path]
    model = onnx.load(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata.keys() == KEYS
    assert json.loads(metadata["labels"]) == ["a", "b", "c"]
    assert (metadata["sample_rate"], metadata["chunk_samples"]) == ("22050", "66150")
    assert (metadata["temperature"], metadata["uncertain_below"]) == ("1.7", "0.4")
    assert (metadata["network"], metadata["licence"]) == ("cnn", "Apache-2.0")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(value.name, value.shape, value.type) for value in session.get_inputs()] == [
        ("waveform", ["batch", 66150], "tensor(float)")
    ]
    assert [(value.name, value.shape) for value in session.get_outputs()] == [
        ("log_probs", ["batch", 3]),
        ("embedding", ["batch", 128]),
    ]


def test_the_transfer_graph_has_tags_and_familiarity(transfer_graph):
    path, _ = transfer_graph
    assert list(path.parent.iterdir()) == [path]
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert metadata.keys() == KEYS | {"tags", "recognised_above"}
    assert json.loads(metadata["tags"]) == list(TAGS)
    assert (metadata["network"], metadata["licence"]) == ("transfer", "Apache-2.0 AND ISC")
    assert metadata["recognised_above"] == "-2.5"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(value.name, value.shape) for value in session.get_outputs()] == [
        ("log_probs", ["batch", 3]),
        ("embedding", ["batch", 200]),
        ("tags", ["batch", 50]),
        ("familiarity", ["batch"]),
    ]
    info = GenreSession(path, provider="cpu").info
    assert (info.tags, info.recognised_above) == (TAGS, -2.5)


def test_the_session_reads_the_metadata(graph):
    info = GenreSession(graph[0], provider="cpu").info
    assert info.labels == ("a", "b", "c")
    assert (info.temperature, info.uncertain_below) == (1.7, 0.4)
    assert (info.network, info.licence) == ("cnn", "Apache-2.0")
    assert info.metrics == {"x": 1}
    assert (info.tags, info.recognised_above) == ((), None)


@pytest.fixture(params=["graph", "transfer_graph"])
def any_graph(request):
    return request.getfixturevalue(request.param)


def test_operators(any_graph):
    model = onnx.load(any_graph[0])
    operators = {node.op_type for node in model.graph.node}
    assert not operators & FORBIDDEN
    assert not operators & {"Loop", "Scan", "If"}  # so no operator runs once per sample
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions


def test_nothing_of_the_machine_is_written(any_graph):
    content = any_graph[0].read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content


def test_any_batch_even_of_silence(any_graph):
    session = onnxruntime.InferenceSession(any_graph[0], providers=["CPUExecutionProvider"])
    for batch in (1, 3, 130):
        outputs = session.run(None, {"waveform": np.zeros((batch, 66150), np.float32)})
        assert outputs[0].shape == (batch, 3)
        assert all(len(output) == batch and np.isfinite(output).all() for output in outputs)
