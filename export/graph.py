"""A checkpoint as one ONNX graph, waveform to log-probabilities, with what serving must know in its metadata."""

import hashlib
import json
import logging
import warnings
from importlib.metadata import version
from pathlib import Path

import onnx
import torch

from audio import CHUNK_SAMPLES, SAMPLE_RATE
from train.checkpoint import Checkpoint
from train.model import GenreNet

INPUT = "waveform"
OUTPUTS = ("log_probs", "embedding")
FORBIDDEN = {"STFT", "DFT"}  # without a CUDA kernel, and slow on a CPU


def write_graph(checkpoint: Checkpoint, path: Path) -> GenreNet:
    """Writes the checkpoint's network as one ONNX file and returns the network it was made of.

    Input `waveform` float32 (batch, 66150); outputs `log_probs` (batch, labels) and `embedding` (batch, 128).
    """
    network = checkpoint.network()
    model = trace(network)
    strip(model)
    for key, value in metadata(checkpoint).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model, full_check=True)
    operators = {node.op_type for node in model.graph.node}
    domains = {node.domain for node in model.graph.node}
    assert not operators & FORBIDDEN, f"the graph holds {operators & FORBIDDEN}"
    assert domains <= {""}, f"the graph holds operators of {domains}"
    onnx.save(model, path)
    return network


def trace(network: GenreNet) -> onnx.ModelProto:
    """The network as a graph with a batch of any size from one."""
    # Three, since one and two would be taken for constants or for other dimensions of that size.
    example = torch.zeros(3, CHUNK_SAMPLES)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # says at length that torchvision is absent
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            network,
            (example,),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1)}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def strip(model: onnx.ModelProto) -> None:
    """Removes what the exporter notes of the source code: stack traces, with the paths of this machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.value_info[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        del value.metadata_props[:]
    model.doc_string = ""


def metadata(checkpoint: Checkpoint) -> dict[str, str]:
    """What travels with the graph, as strings."""
    return {
        "labels": json.dumps(checkpoint.labels),
        "sample_rate": str(SAMPLE_RATE),
        "chunk_samples": str(CHUNK_SAMPLES),
        "version": f"{version('genre-classifier')}+{weights_digest(checkpoint)[:8]}",
        "temperature": str(checkpoint.temperature),
        "uncertain_below": str(checkpoint.uncertain_below),
        "trained_on": checkpoint.trained_on,
        "split_sha256": checkpoint.split_sha256,
        "metrics": json.dumps(checkpoint.metrics),
    }


def weights_digest(checkpoint: Checkpoint) -> str:
    """SHA-256 of the weights, by which two models of one release differ."""
    digest = hashlib.sha256()
    for name, tensor in sorted(checkpoint.model_state_dict.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
