"""What a GPU could do with the graphs, from its published figures: `python -m benchmarks.roofline`.

Counts what each node of a graph computes and moves, and predicts the time of a run on an H100 (the roofline model;
Williams, Waterman and Patterson 2009). Nothing is measured.
"""

import math
import tempfile
from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import NodeProto, numpy_helper

from genre_classifier.audio import CHUNK_SAMPLES
from genre_classifier.models import find_model
from genre_classifier.session import CPU, LOG_NOTHING, import_onnxruntime

# NVIDIA's data sheet of the H100 Tensor Core GPU, module SXM. Its tensor cores do not count, since TF32 is off.
H100_FLOPS, H100_BYTES = 67e12, 3.35e12  # of float32 a second; of HBM3 a second
PCIE_BYTES = 64e9  # of PCIe 5.0 x16 a second, one way
# Assumed until they are measured: the share of the roofline that products and copies of this size reach, and seconds
# from kernel to kernel, in a CUDA graph and launched one by one; ONNX Runtime takes some 2e-6 of the latter for itself.
EFFICIENCY, REPLAY_SECONDS, LAUNCH_SECONDS = 0.4, 2e-6, 5e-6
CALLS = {"genre": 208, "cnn": 654}
"""Kernels, products of cuBLAS and calls of cuDNN in a run of 64 chunks, as the CUDA provider makes them."""

BATCHES = (1, 10, 64, 256)
VIEWS = {"Reshape", "Squeeze", "Unsqueeze"}  # they move nothing
COPIES = {"Concat", "Pad", "Slice", "Transpose"}  # they compute nothing
CHUNK_BYTES = 4 * CHUNK_SAMPLES


class Node(NamedTuple):
    """What a node of a graph asks for in one run."""

    operator: str
    flops: float
    bytes: float

    @property
    def seconds(self) -> float:
        """At the roofline: either arithmetic or memory is the limit."""
        return max(self.flops / H100_FLOPS, self.bytes / H100_BYTES)


class Prediction(NamedTuple):
    """Seconds of a run."""

    roofline: float
    """Nothing but arithmetic and memory, both at their published limit."""
    eager: float
    """Launched kernel by kernel."""
    replayed: float
    """As a CUDA graph."""


def predict(counted: list[Node], batch: int, calls: int) -> Prediction:
    """The time of a run: the input over PCIe, the nodes at their efficiency, and the gaps between kernels."""
    roofline = sum(node.seconds for node in counted)
    replayed = batch * CHUNK_BYTES / PCIE_BYTES + roofline / EFFICIENCY + calls * REPLAY_SECONDS
    return Prediction(roofline, max(replayed, calls * LAUNCH_SECONDS), replayed)


def count(model: Path, batch: int) -> list[Node]:
    """The nodes of a graph as ONNX Runtime optimises it for every provider, for a batch of this size."""
    graph = _optimised(model, batch)
    shapes: dict[str, tuple[int, ...]] = {}
    sizes: dict[str, int] = {}  # bytes
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        shapes[value.name] = tuple(dim.dim_value or batch for dim in kind.shape.dim)
        sizes[value.name] = (
            math.prod(shapes[value.name]) * onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
        )
    for weight in graph.initializer:
        array = numpy_helper.to_array(weight)
        shapes[weight.name], sizes[weight.name] = array.shape, array.nbytes
    return [Node(node.op_type, _flops(node, shapes), _bytes(node, sizes)) for node in graph.node]


def _optimised(model: Path, batch: int) -> onnx.GraphProto:
    """The graph with all shapes known."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_NOTHING
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_free_dimension_override_by_name("batch", batch)
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(model, options, providers=[CPU])
        proto = onnx.load(options.optimized_model_filepath)
    del proto.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(proto, data_prop=True).graph


def _flops(node: NodeProto, shapes: dict[str, tuple[int, ...]]) -> float:
    """Two for each product that is summed; one for each value that another node computes."""
    written = math.prod(shapes.get(node.output[0], (0,)))
    if node.op_type == "Conv":
        return 2.0 * written * math.prod(shapes[node.input[1]][1:])
    if node.op_type in {"MatMul", "Gemm"}:
        return 2.0 * written * shapes[node.input[0]][-1]
    return 0.0 if node.op_type in VIEWS | COPIES else float(written)


def _bytes(node: NodeProto, sizes: dict[str, int]) -> float:
    """What is read, once, and what is written."""
    written = sum(sizes.get(name, 0) for name in node.output)
    if node.op_type in VIEWS:
        return 0.0
    if node.op_type == "Slice":  # it reads no more than it writes
        return 2.0 * written
    return float(written + sum(sizes.get(name, 0) for name in set(node.input)))


def table() -> str:
    """Markdown: what a chunk asks for, and what is predicted of a run."""
    head = ["model", "chunks a run", "MFLOP a chunk", "MB a chunk", "calls", "chunks a second at the roofline"]
    head += ["one by one", "ms a run", "as a CUDA graph", "ms a run"]
    rows: list[list[object]] = [[*head], ["---"] * len(head)]
    for name, calls in CALLS.items():
        for batch in BATCHES:
            nodes = count(find_model(name), batch)
            flops, moved = (sum(of) / batch / 1e6 for of in zip(*(node[1:] for node in nodes), strict=True))
            roofline, eager, replayed = predict(nodes, batch, calls)
            cells = [f"{flops:.0f}", f"{moved:.0f}", calls, round(batch / roofline)]
            for seconds in (eager, replayed) if name == "genre" else (eager,):
                cells += [round(batch / seconds), f"{1000 * seconds:.2f}"]
            rows.append([name, batch, *cells, *[""] * (len(head) - 2 - len(cells))])
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


if __name__ == "__main__":
    print(table())
