"""Serve the model: BentoML services, the web page, and the command line. Needs neither torch nor librosa."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime sends word of its use to its makers otherwise
