"""A checkpoint as one ONNX graph from waveform to outputs, with its facts as metadata."""

import hashlib
import json
import logging
import warnings
from pathlib import Path

import onnx
import torch

from genre_classifier import __version__
from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE
from genre_classifier.outputs import INPUT
from train.errors import TrainingError
from train.network.base import GenreNet
from train.network.checkpoint import Checkpoint

FORBIDDEN = {"STFT", "DFT"}  # no CUDA kernel, and slow on a CPU


def write_graph(checkpoint: Checkpoint, path: Path) -> GenreNet:
    """Write the checkpoint's network as one ONNX file, and return the network.

    The graph's input is `waveform`, float32 (batch, 66150); its outputs are those that the network names.

    Raises:
        TrainingError: the exporter wrote operators that are slow, or that some execution providers lack.
    """
    network = checkpoint.network()
    model = trace(network)
    strip(model)
    for key, value in metadata(checkpoint, network).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model, full_check=True)
    if odd := {node.op_type for node in model.graph.node if node.domain or node.op_type in FORBIDDEN}:
        raise TrainingError(f"The graph contains operators that are not allowed: {', '.join(sorted(odd))}.")
    onnx.save(model, path)
    return network


def trace(network: GenreNet) -> onnx.ModelProto:
    """The network as a graph for a batch of any size from 1."""
    # Three chunks: with one or two, the exporter takes the batch for a constant or for another dimension of that size.
    example = torch.zeros(3, CHUNK_SAMPLES)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it reports that torchvision is absent
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            network,
            (example,),
            input_names=[INPUT],
            output_names=list(network.outputs),
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1)}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def strip(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes on the source code: stack traces, with paths of this machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.value_info[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        del value.metadata_props[:]
    model.doc_string = ""


def metadata(checkpoint: Checkpoint, network: GenreNet) -> dict[str, str]:
    """The facts that the file carries, as strings; `genre_classifier.session.ModelInfo` reads them."""
    facts = {
        "labels": json.dumps(checkpoint.labels),
        "sample_rate": str(SAMPLE_RATE),
        "chunk_samples": str(CHUNK_SAMPLES),
        "version": f"{__version__}+{digest(checkpoint, network)[:8]}",
        "temperature": str(checkpoint.temperature),
        "uncertain_below": str(checkpoint.uncertain_below),
        "trained_on": checkpoint.trained_on,
        "split_sha256": checkpoint.split_sha256,
        "metrics": json.dumps(checkpoint.metrics),
        "licence": network.licence,
        "network": checkpoint.net,
    }
    if network.tags:
        facts["tags"] = json.dumps(network.tags)
    if checkpoint.recognised_above is not None:
        facts["recognised_above"] = str(checkpoint.recognised_above)
    return facts


def digest(checkpoint: Checkpoint, network: GenreNet) -> str:
    """SHA-256 of everything that decides an answer; it tells two models of one release apart."""
    thresholds = [checkpoint.uncertain_below, checkpoint.recognised_above]
    total = hashlib.sha256(json.dumps([checkpoint.net, checkpoint.labels, thresholds]).encode())
    for name, tensor in sorted(network.state_dict().items()):
        total.update(name.encode() + tensor.numpy().tobytes())
    return total.hexdigest()
