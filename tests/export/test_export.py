import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from audio import cut_chunks, decode
from benchmarks.baseline import librosa_features
from export.graph import FORBIDDEN, write_graph
from export.parity import compare, sessions, table
from export.signals import synthetic_chunks
from train.checkpoint import Checkpoint, load_checkpoint
from train.model import GenreNet

KEYS = {
    "labels", "sample_rate", "chunk_samples", "version", "temperature", "uncertain_below", "trained_on",
    "split_sha256", "metrics",
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint():
    """Random weights, with every part of the network at work."""
    torch.manual_seed(0)
    network = GenreNet(labels=3)
    network.standardise.fit(network.features(torch.from_numpy(np.stack(list(synthetic_chunks().values())))))
    standardise = network.standardise
    return Checkpoint(
        network.classifier.state_dict(),
        ["a", "b", "c"],
        standardise.mean,
        standardise.deviation,
        1.7,
        0.4,
        metrics={"x": 1},
    )


@pytest.fixture(scope="module")
def graph(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "genre.onnx"
    network = write_graph(checkpoint, path)
    return path, network


def test_agrees_with_pytorch_at_every_batch_size(graph):
    path, network = graph
    rows = compare(network, sessions(path)[0], synthetic_chunks())
    assert {row.batch for row in rows} == {1, 2, 7, 64}
    # Noise 90 dB down, silence, an impulse and the like hold decisions that tie; one of these chunks may flip.
    assert all(len(row.beyond) <= 1 and not row.genre_differs.any() for row in rows), table(rows)


def test_a_difference_in_the_embedding_alone_is_found(graph, checkpoint):
    path, _ = graph
    other = checkpoint.network()
    with torch.no_grad():
        other.classifier.bn_fc.bias += 0.1
        # The log-probabilities are as they were.
        other.classifier.out.bias -= 0.1 * other.classifier.out.weight.sum(dim=1)
    rows = compare(other, sessions(path)[0], synthetic_chunks())
    assert all(row.difference.max() < 1e-3 for row in rows)
    assert not any(row.agrees for row in rows)


def test_a_wrong_graph_is_found(graph, checkpoint):
    path, _ = graph
    other = checkpoint.network()
    with torch.no_grad():
        other.classifier.out.bias[0] += 0.01
    rows = compare(other, sessions(path)[0], synthetic_chunks())
    assert not any(row.agrees for row in rows)
    assert "beyond: silence" in table(rows)


def test_one_file_by_the_contract(graph):
    path, _ = graph
    assert list(path.parent.iterdir()) == [path]
    model = onnx.load(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata.keys() == KEYS
    assert json.loads(metadata["labels"]) == ["a", "b", "c"]
    assert (metadata["sample_rate"], metadata["chunk_samples"]) == ("22050", "66150")
    assert (metadata["temperature"], metadata["uncertain_below"]) == ("1.7", "0.4")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(value.name, value.shape, value.type) for value in session.get_inputs()] == [
        ("waveform", ["batch", 66150], "tensor(float)")
    ]
    assert [(value.name, value.shape) for value in session.get_outputs()] == [
        ("log_probs", ["batch", 3]),
        ("embedding", ["batch", 128]),
    ]


def test_operators(graph):
    model = onnx.load(graph[0])
    operators = {node.op_type for node in model.graph.node}
    assert not operators & FORBIDDEN
    assert not operators & {"Loop", "Scan", "If"}  # no loop at all, so none that runs per sample
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions


def test_nothing_of_the_machine_is_written(graph):
    content = graph[0].read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content


def test_any_batch_even_of_silence(graph):
    session = onnxruntime.InferenceSession(graph[0], providers=["CPUExecutionProvider"])
    for batch in (1, 3, 130):
        log_probs, embedding = session.run(None, {"waveform": np.zeros((batch, 66150), np.float32)})
        assert log_probs.shape == (batch, 3)
        assert np.isfinite(log_probs).all()
        assert np.isfinite(embedding).all()


def test_command_line_refuses_what_is_no_checkpoint(tmp_path):
    wrong = tmp_path / "song.mp3"
    wrong.write_bytes(b"ID3")
    for path, says in ((wrong, "is not a checkpoint"), (tmp_path / "nowhere", "There is no checkpoint")):
        command = [sys.executable, "-m", "export", "--checkpoint", path, "--output", tmp_path / "genre.onnx"]
        ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert says in ended.stderr
        assert not (tmp_path / "genre.onnx").exists()


@pytest.mark.gtzan
def test_original_checkpoint_predicts_what_it_did_with_librosa(data, tmp_path):
    """Chunks of real music through the command line's graph, and through librosa and the PyTorch CNN."""
    original = data / "original" / "withweightdecay5channels.ckpt"
    path = tmp_path / "original.onnx"
    command = [sys.executable, "-m", "export", "--checkpoint", original, "--output", path, "--data", data / "gtzan"]
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr

    chunks = []
    for clip in [*sorted((data / "gtzan").glob("*/*.ogg"))[1::4], *sorted((data / "songs").glob("*.ogg"))]:
        waveform = decode(clip).waveform
        if len(waveform) >= 66150:
            chunks += list(cut_chunks(waveform)[::4])
    assert len(chunks) >= 300
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = session.run(["log_probs"], {"waveform": np.stack(chunks)})[0]
    features = torch.from_numpy(np.stack([librosa_features(chunk) for chunk in chunks]))
    with torch.inference_mode():
        expected = load_checkpoint(original).network().classifier(features).numpy()
    assert (given.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.995
