"""Which operators CUDA runs on which element types, and what of a graph would be left to the CPU.

ONNX Runtime gives a node without a CUDA kernel to the CPU, and copies its tensors there and back in every run.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import onnx
import onnxruntime
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper

VERSION = "1.31.1"
"""Of onnxruntime-gpu: the provider itself was asked, node by node (`test_the_table_is_what_the_provider_says`)."""
OPSET = 20
TYPES = {name: getattr(TensorProto, name.upper()) for name in ("float", "double", "int32", "int64", "bool")}

ALL, NUMBERS, FLOATS = "float double int32 int64 bool", "float double int32 int64", "float double"
KERNELS = {
    **dict.fromkeys(
        ("Cast", "Concat", "Equal", "Expand", "Gather", "GatherElements", "Reshape", "ScatterElements"), ALL
    ),
    **dict.fromkeys(("Shape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"), ALL),
    **dict.fromkeys(("Abs", "Add", "CumSum", "Div", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"), NUMBERS),
    **dict.fromkeys(
        ("Max", "Min", "Mod", "Mul", "Neg", "ReduceMax", "ReduceMin", "ReduceSum", "Sub", "TopK", "Where"), NUMBERS
    ),
    **dict.fromkeys(("ArgMax", "Conv", "Exp", "Floor", "Gemm", "Log", "LogSoftmax", "MatMul", "MaxPool"), FLOATS),
    **dict.fromkeys(("Reciprocal", "ReduceLogSumExp", "Relu", "Round", "Sigmoid", "Sqrt"), FLOATS),
    "And": "bool",
    "BatchNormalization": "float",
    "Clip": "float double int64",
    "GatherND": "float double int64 bool",
    "NonZero": "float int32 int64 bool",
    "Not": "bool",
    "Pad": "float double bool",
    "ReduceMean": "float double int32",
}
"""By operator, the element types of its data for which there is a kernel; operators and types of our graphs."""


def optimised(path: Path) -> ModelProto:
    """A graph after those optimisations of ONNX Runtime that are the same for every provider, with all types known."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return onnx.shape_inference.infer_shapes(onnx.load(options.optimized_model_filepath), data_prop=True)


def left_to_the_cpu(model: ModelProto) -> list[str]:
    """Nodes that work on data and have no CUDA kernel for it, as "operator type: name"."""
    types = element_types(model)
    shapes = shape_nodes(model)
    left = []
    for node in model.graph.node:
        kind = types.get(node.input[data_input(node)], "unknown")
        if node.name not in shapes and (node.domain or kind not in KERNELS.get(node.op_type, "").split()):
            left.append(f"{node.op_type} {kind}: {node.name}")
    return left


def shape_nodes(model: ModelProto) -> set[str]:
    """Names of the nodes that compute with shapes alone: they belong on the CPU, where shapes are."""
    constants = {value.name for value in model.graph.initializer} | {""}
    shapes: set[str] = set()
    found = set()
    for node in model.graph.node:
        varying = set(node.input) - constants
        if node.op_type == "Shape" or (varying and varying <= shapes):
            shapes |= set(node.output)
            found.add(node.name)
    return found


def element_types(model: ModelProto) -> dict[str, str]:
    """The element type of every tensor, by name."""
    names = {code: name for name, code in TYPES.items()}
    graph = model.graph
    known = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    known |= {value.name: value.data_type for value in graph.initializer}
    return {name: names.get(code, str(code)) for name, code in known.items()}


def data_input(node: NodeProto) -> int:
    """The number of the input whose type decides: `Where` chooses between the second and the third."""
    return 1 if node.op_type == "Where" else 0


def probe(node: NodeProto, kind: str) -> ModelProto | None:
    """A graph of nothing but such a node, on data of this type; None where ONNX does not allow the type."""
    schema = onnx.defs.get_schema(node.op_type, OPSET)
    decides = schema.inputs[data_input(node)]
    if f"tensor({kind})" not in decides.types:
        return None
    values = []
    for number, name in enumerate(node.input):
        formal = schema.inputs[min(number, len(schema.inputs) - 1)]
        allowed = {each.removeprefix("tensor(").removesuffix(")") for each in formal.types}
        # Indices, axes and shapes are int64; batch normalisation has parameters of a type of their own.
        other = "int64" if "int64" in allowed else "bool" if allowed == {"bool"} else "float"
        if name:
            own = kind if formal.type_str == decides.type_str else other
            values.append(helper.make_tensor_value_info(f"in{number}", TYPES[own], None))
    inputs = [f"in{number}" if name else "" for number, name in enumerate(node.input)]
    return one_node(
        node.op_type, inputs, values, [f"out{number}" for number in range(len(node.output))], node.attribute
    )


def one_node(
    operator: str,
    inputs: list[str],
    values: list[onnx.ValueInfoProto],
    outputs: list[str],
    attributes: Iterable[AttributeProto] = (),
) -> ModelProto:
    """A graph of a single node."""
    node = helper.make_node(operator, inputs, outputs, name=operator)
    node.attribute.extend(attributes)
    graph = helper.make_graph([node], operator, values, [onnx.ValueInfoProto(name=name) for name in outputs])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
