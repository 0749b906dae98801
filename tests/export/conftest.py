"""Checkpoints of both networks and their graphs."""

import numpy as np
import pytest
import torch

from export.graph import write_graph
from export.signals import synthetic_chunks
from train.network import head
from train.network.checkpoint import Checkpoint
from train.network.table import build_network


@pytest.fixture(scope="session")
def checkpoint():
    """The original network with random weights, standardisation and a temperature."""
    torch.manual_seed(0)
    network = build_network("cnn", 3)
    with torch.inference_mode():
        prepared = network.prepare(torch.from_numpy(np.stack(list(synthetic_chunks().values()))))
    standardise = network.standardise
    standardise.fit(prepared)
    return Checkpoint(
        network.classifier.state_dict(),
        ["a", "b", "c"],
        standardise.mean,
        standardise.deviation,
        1.7,
        0.4,
        metrics={"x": 1},
    )


@pytest.fixture(scope="session")
def graph(checkpoint, tmp_path_factory):
    """The path of its graph, and the network."""
    path = tmp_path_factory.mktemp("export") / "genre.onnx"
    network = write_graph(checkpoint, path)
    return path, network


@pytest.fixture(scope="session")
def transfer_checkpoint():
    """The transfer network, fitted to synthetic chunks in three genres that mean nothing."""
    network = build_network("transfer", 3).eval()
    with torch.inference_mode():
        prepared = network.prepare(torch.from_numpy(np.stack(list(synthetic_chunks().values()))))
    prepared = prepared.clone()
    labels = ["blues", "polka", "rock"]
    head.fit(network, prepared, torch.arange(len(prepared)) % 3, labels)
    standardise = network.standardise
    weights = network.classifier.state_dict()
    thresholds = {"temperature": 0.5, "uncertain_below": 0.4, "recognised_above": -2.5}
    return Checkpoint(weights, labels, standardise.mean, standardise.deviation, net="transfer", **thresholds)


@pytest.fixture(scope="session")
def transfer_graph(transfer_checkpoint, tmp_path_factory):
    """The path of its graph, and the network."""
    path = tmp_path_factory.mktemp("export") / "transfer.onnx"
    return path, write_graph(transfer_checkpoint, path)
