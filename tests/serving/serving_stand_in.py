"""What the serving tests share: a stand-in graph of the contract's shape, synthetic clips, and a real server."""

import io
import json
from pathlib import Path

import numpy as np
import onnx
import soundfile
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
LABELS = ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"]
RATE = 22050
CHUNK = 66150
BANDS = 1024


def write_stand_in(path, *, labels=LABELS, told=None, drop=(), scale=1.0):
    """A mean log spectrum of frames of 450 samples, then two random layers; about as slow as the real graph."""
    rng = np.random.default_rng(7)
    angles = 2 * np.pi * np.outer(np.arange(450), np.linspace(0, 225, BANDS)) / 450
    basis = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    weights = {
        "frames": np.array([-1, CHUNK // 450, 450], dtype=np.int64),
        "basis": basis.astype(np.float32),
        "floor": np.array(1e-3, dtype=np.float32),
        "axis": np.array([1], dtype=np.int64),
        "first": (rng.standard_normal((2 * BANDS, 128)) * 0.02).astype(np.float32),
        "second": (rng.standard_normal((128, len(labels))) * 0.3 * scale).astype(np.float32),
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
    graph = helper.make_graph(
        nodes,
        "stand_in",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", CHUNK])],
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["batch", len(labels)]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 128]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    metadata = {
        "labels": json.dumps(told or labels),
        "sample_rate": str(RATE),
        "chunk_samples": str(CHUNK),
        "version": "stand-in",
        "temperature": "1.0",
        "uncertain_below": "0.4",
        "trained_on": "nothing",
        "split_sha256": "0" * 64,
        "metrics": json.dumps({"test": {"track_accuracy": 0.1}}),
    }
    helper.set_model_props(model, {key: value for key, value in metadata.items() if key not in drop})
    onnx.save(model, path)
    return path


def tone(seconds=7.0, hertz=440.0, level=0.5, rate=RATE):
    """float32 (seconds * rate): a tone with a third of noise, so that no two clips are alike."""
    time_axis = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(int(hertz)).standard_normal(len(time_axis))
    return (level * (0.75 * np.sin(2 * np.pi * hertz * time_axis) + 0.08 * noise)).astype(np.float32)


def sound_file(waveform, *, rate=RATE, format="WAV", subtype=None):  # noqa: A002
    """The bytes of an audio file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, rate, format=format, subtype=subtype)
    return buffer.getvalue()


def m4a_file(waveform, *, rate=44100):
    """The bytes of an AAC file, which libsndfile cannot read."""
    import av  # noqa: PLC0415

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        size = stream.codec_context.frame_size or 1024
        for first in range(0, len(waveform), size):
            frame = av.AudioFrame.from_ndarray(waveform[None, first : first + size], format="fltp", layout="mono")
            frame.sample_rate = rate
            frame.pts = first
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
