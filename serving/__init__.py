"""Serve the model: BentoML services, the web page, and the command line. Needs neither torch nor librosa."""

import os

__version__ = "0.1.0"  # of the release, here alone

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime sends word of its use to its makers otherwise
