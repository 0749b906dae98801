"""Every node that works on data has a CUDA kernel: by a table, and by the provider itself where it can be asked."""

import re

import onnx
import pytest
from onnx import TensorProto, helper

from genre_classifier.models import find_model
from tests.support import ROOT, cuda_stub
from tests.support.cuda_kernels import KERNELS, TYPES, VERSION, left_to_the_cpu, optimised, probe, shape_nodes

SHIPPED = ["genre", "cnn"]
needs_provider = pytest.mark.skipif(bool(cuda_stub.missing()), reason=cuda_stub.missing())


@pytest.fixture(scope="module", params=[*SHIPPED, "graph", "transfer_graph"])
def path(request):
    """The graphs that ship, and those that the code exports now."""
    return find_model(request.param) if request.param in SHIPPED else request.getfixturevalue(request.param)[0]


def broken(folder, operator):
    """A graph that takes the ArgMax of integers, or pads them, as that of version 0.1.0 did."""
    arguments = {"ArgMax": ["numbers"], "Pad": ["numbers", "pads"], "Add": ["numbers", "numbers"]}[operator]
    nodes = [
        helper.make_node("Cast", ["waveform"], ["numbers"], name="to_integers", to=TensorProto.INT64),
        helper.make_node(operator, arguments, ["found"], name="on_integers"),
        helper.make_node("Cast", ["found"], ["out"], name="to_floats", to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "broken",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [helper.make_tensor("pads", TensorProto.INT64, [4], [0, 1, 0, 1])],
    )
    path = folder / f"{operator}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


def test_all_work_has_a_kernel(path):
    model = optimised(path)
    assert left_to_the_cpu(model) == []
    assert len(model.graph.node) > 200
    assert len(shape_nodes(model)) < 0.05 * len(model.graph.node)  # so what the rule leaves out is little


@pytest.mark.parametrize("operator", ["ArgMax", "Pad"])
def test_integers_without_a_kernel_are_found(operator, tmp_path):
    assert left_to_the_cpu(optimised(broken(tmp_path, operator))) == [f"{operator} int64: on_integers"]
    assert left_to_the_cpu(optimised(broken(tmp_path, "Add"))) == []


def test_the_table_is_of_the_locked_version():
    (locked,) = re.findall(r"^onnxruntime-gpu==(\S+)", (ROOT / "requirements" / "gpu.txt").read_text(), re.MULTILINE)
    assert locked == VERSION, "run `make placement`, mend the table where the provider says otherwise, then VERSION"


@needs_provider
def test_the_provider_places_all_work_on_cuda(path, cuda_libraries, tmp_path):
    (placed,) = cuda_stub.run(cuda_libraries, "placed", path, save=tmp_path / "placed")
    assert cuda_stub.copies(tmp_path / "placed" / path.name) == 0
    assert placed["cuda"] > 200
    assert set(placed["cpu"]) <= shape_nodes(optimised(path))
    if path.parent == ROOT / "artifacts":
        shapes = ", which compute shapes" if placed["cpu"] else ""
        row = f"| {placed['cuda']} | {len(placed['cpu'])}{shapes} | 0 |"
        assert row in (ROOT / "docs" / "features.md").read_text()


@needs_provider
@pytest.mark.parametrize("operator", ["ArgMax", "Pad"])
def test_the_provider_copies_integers_to_the_cpu_and_back(operator, cuda_libraries, tmp_path):
    (placed,) = cuda_stub.run(cuda_libraries, "placed", broken(tmp_path, operator), save=tmp_path / "placed")
    assert placed["cpu"] == {"on_integers": operator}
    assert cuda_stub.copies(tmp_path / "placed" / f"{operator}.onnx") == 2


@needs_provider
def test_the_table_is_what_the_provider_says(cuda_libraries, tmp_path):
    """Each operator of the graphs, on each element type: on CUDA where the table has it, and only there."""
    nodes = {node.op_type: node for name in SHIPPED for node in optimised(find_model(name)).graph.node}
    assert nodes.keys() == KERNELS.keys()
    cases = {}
    for operator, node in nodes.items():
        for kind in TYPES:
            if model := probe(node, kind):
                cases[operator, kind] = tmp_path / f"{operator}-{kind}.onnx"
                onnx.save(model, cases[operator, kind])
    answers = cuda_stub.run(cuda_libraries, "placed", *cases.values())
    said = dict(zip(cases, answers, strict=True))
    assert {case for case, placed in said.items() if placed["cuda"]} == {
        (operator, kind) for operator, kinds in KERNELS.items() for kind in kinds.split()
    }
