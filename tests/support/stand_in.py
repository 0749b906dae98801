"""A small graph that keeps the contract of a model file, for tests that need no real genres."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE

LABELS = ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"]
BANDS, FRAME, EMBEDDING = 1024, 450, 128


def write_stand_in(path, *, labels=LABELS, tags=(), familiarity=False, scale=1.0, samples=CHUNK_SAMPLES, metadata=None):
    """Write a graph with random weights, about as slow as a real one: a mean log spectrum, then two linear layers.

    Args:
        path: the file to write.
        labels: genres of the output `log_probs`.
        tags: names of the output `tags`; without any there is no such output.
        familiarity: whether there is an output `familiarity`.
        scale: of the last layer's weights; NaN makes every output of it NaN.
        samples: length of the input.
        metadata: strings that replace those of the contract, by key; None leaves a key out.
    """
    rng = np.random.default_rng(7)
    angles = 2 * np.pi * np.outer(np.arange(FRAME), np.linspace(0, FRAME / 2, BANDS)) / FRAME
    weights = {
        "frames": np.array([-1, samples // FRAME, FRAME], dtype=np.int64),
        "basis": np.concatenate([np.cos(angles), np.sin(angles)], axis=1),
        "floor": np.array(1e-3),
        "axis": np.array([1], dtype=np.int64),
        "first": rng.standard_normal((2 * BANDS, EMBEDDING)) * 0.02,
        "second": rng.standard_normal((EMBEDDING, len(labels))) * 0.3 * scale,
    }
    nodes = [
        helper.make_node("Reshape", ["waveform", "frames"], ["framed"]),
        helper.make_node("MatMul", ["framed", "basis"], ["spectrum"]),
        helper.make_node("Abs", ["spectrum"], ["magnitude"]),
        helper.make_node("ReduceMean", ["magnitude", "axis"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mean", "floor"], ["floored"]),
        helper.make_node("Log", ["floored"], ["log"]),
        helper.make_node("MatMul", ["log", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "second"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["log_probs"], axis=1),
    ]
    outputs = {"log_probs": ["batch", len(labels)], "embedding": ["batch", EMBEDDING]}
    if tags:
        weights["third"] = rng.standard_normal((EMBEDDING, len(tags))) * 0.3
        nodes += [
            helper.make_node("MatMul", ["embedding", "third"], ["tag_logits"]),
            helper.make_node("Sigmoid", ["tag_logits"], ["tags"]),
        ]
        outputs["tags"] = ["batch", len(tags)]
    if familiarity:
        nodes.append(helper.make_node("ReduceMean", ["embedding", "axis"], ["familiarity"], keepdims=0))
        outputs["familiarity"] = ["batch"]
    graph = helper.make_graph(
        nodes,
        "stand_in",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", samples])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [
            numpy_helper.from_array(value if value.dtype == np.int64 else value.astype(np.float32), name)
            for name, value in weights.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    contract = {
        "labels": json.dumps(list(labels)),
        "tags": json.dumps(list(tags)) if tags else None,
        "sample_rate": str(SAMPLE_RATE),
        "chunk_samples": str(CHUNK_SAMPLES),
        "version": "stand-in",
        "temperature": "1.0",
        "uncertain_below": "0.4",
        "recognised_above": "0.0" if familiarity else None,
        "trained_on": "nothing",
        "split_sha256": "0" * 64,
        "metrics": json.dumps({"test": {"track_accuracy": 0.1}}),
        **(metadata or {}),
    }
    helper.set_model_props(model, {key: text for key, text in contract.items() if text is not None})
    onnx.save(model, path)
    return path
