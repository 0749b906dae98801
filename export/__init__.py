"""From a checkpoint to one ONNX graph, and the proof that both give the same outputs."""
