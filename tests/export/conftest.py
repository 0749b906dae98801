"""A checkpoint with random weights and its graph."""

import numpy as np
import pytest
import torch

from export.graph import write_graph
from export.signals import synthetic_chunks
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
