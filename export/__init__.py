"""From a checkpoint to one ONNX graph, and the proof that both say the same."""
