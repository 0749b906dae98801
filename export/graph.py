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
from train.errors import TrainingError
from train.model import GenreNet

INPUT = "waveform"
OUTPUTS = ("log_probs", "embedding")
FORBIDDEN = {"STFT", "DFT"}  # without a CUDA kernel, and slow on a CPU


def write_graph(checkpoint: Checkpoint, path: Path) -> GenreNet:
    """Writes the checkpoint's network as one ONNX file and returns the network it was made of.

    Input `waveform` float32 (batch, 66150); outputs `log_probs` (batch, labels) and `embedding` (batch, 128).

    Raises:
        TrainingError: the exporter wrote operators that are slow, or that not every provider has.
    """
    network = checkpoint.network()
    model = trace(network)
    strip(model)
    for key, value in metadata(checkpoint).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model, full_check=True)
    if odd := {node.op_type for node in model.graph.node if node.domain or node.op_type in FORBIDDEN}:
        raise TrainingError(f"The graph holds operators that it must not: {', '.join(sorted(odd))}.")
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
        "version": f"{version('genre-classifier')}+{digest(checkpoint)[:8]}",
        "temperature": str(checkpoint.temperature),
        "uncertain_below": str(checkpoint.uncertain_below),
        "trained_on": checkpoint.trained_on,
        "split_sha256": checkpoint.split_sha256,
        "metrics": json.dumps(checkpoint.metrics),
    }


def digest(checkpoint: Checkpoint) -> str:
    """SHA-256 of all that decides an answer, by which two models of one release differ."""
    tensors = {**checkpoint.model_state_dict, "mean": checkpoint.mean, "deviation": checkpoint.deviation}
    settings = [checkpoint.labels, checkpoint.temperature, checkpoint.uncertain_below]
    total = hashlib.sha256(json.dumps(settings).encode())
    for name, tensor in sorted(tensors.items()):
        total.update(name.encode() + (b"" if tensor is None else tensor.numpy().tobytes()))
    return total.hexdigest()
