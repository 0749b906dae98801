"""What the graphs ask for, counted: by hand, and by PyTorch."""

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.roofline import CALLS, H100_BYTES, H100_FLOPS, LAUNCH_SECONDS, REPLAY_SECONDS, Node, count, predict
from genre_classifier.models import find_model
from train.network.table import build_network


@pytest.mark.parametrize(("model", "net"), [("cnn", "cnn"), pytest.param("genre", "transfer", marks=pytest.mark.slow)])
def test_products_and_convolutions_are_those_that_pytorch_counts(model, net):
    network = build_network(net, 10).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.randn(3, 66150))
    expected = counter.get_total_flops()  # of nothing but products and convolutions
    counted = sum(node.flops for node in count(find_model(model), 3) if node.operator in {"MatMul", "Gemm", "Conv"})
    assert counted == pytest.approx(expected, rel=0.01)


def test_a_small_graph_is_as_counted_by_hand(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["waveform", "weights"], ["product"]),  # (batch, 6) by (6, 4)
        helper.make_node("Relu", ["product"], ["rectified"]),
        helper.make_node("Slice", ["rectified", "zero", "two", "one"], ["half"]),
        helper.make_node("Unsqueeze", ["half", "one"], ["out"]),
    ]
    weights = [helper.make_tensor("weights", TensorProto.FLOAT, [6, 4], range(24))]
    weights += [helper.make_tensor(name, TensorProto.INT64, [1], [n]) for n, name in enumerate(("zero", "one", "two"))]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 1, 2])],
        weights,
    )
    path = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    assert count(path, 5) == [
        Node("MatMul", flops=2 * 5 * 4 * 6, bytes=4 * (5 * 6 + 6 * 4 + 5 * 4)),
        Node("Relu", flops=5 * 4, bytes=4 * 2 * 5 * 4),
        Node("Slice", flops=0, bytes=4 * 2 * 5 * 2),
        Node("Unsqueeze", flops=0, bytes=0),
    ]


def test_a_run_is_bound_by_arithmetic_by_memory_or_by_launches():
    assert Node("MatMul", H100_FLOPS, H100_BYTES / 2).seconds == 1
    assert Node("Add", H100_FLOPS / 2, H100_BYTES).seconds == 1
    short = predict([Node("Add", 1, 1)], 1, calls=100)
    assert short.eager == pytest.approx(100 * LAUNCH_SECONDS)
    assert short.replayed == pytest.approx(100 * REPLAY_SECONDS, rel=0.05)
    assert predict([Node("MatMul", H100_FLOPS, 0)], 1, calls=100).eager > 1


def test_the_targets_are_within_what_is_predicted():
    """Of issue and manual alike: 20 000 chunks a second at the best batch, and ten chunks in 3 ms."""
    model = find_model("genre")
    assert 256 / predict(count(model, 256), 256, CALLS["genre"]).replayed > 20_000
    assert predict(count(model, 10), 10, CALLS["genre"]).eager < 0.003
