"""From GTZAN-style folders to a checkpoint."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime sends word of its use to its makers otherwise
