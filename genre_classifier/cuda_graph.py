"""Runs that are recorded once for each of a few batch sizes, as CUDA graphs, and replayed.

A run of the graph that ships is some 200 launches. Replayed, it is one.
"""

import ctypes
import sys
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from genre_classifier.audio import CHUNK_SAMPLES
from genre_classifier.outputs import INPUT, FloatArray

if TYPE_CHECKING:
    import onnxruntime

# Recorded copies read their source again at each replay; older versions have by then given that memory to other runs
# (microsoft/onnxruntime, pull request 32121).
MIN_VERSION = (1, 30)
# They tell the host how much they found, or run a part of the graph by what they find: neither can be recorded.
READ_BY_THE_HOST = {"Compress", "If", "Loop", "NonMaxSuppression", "NonZero", "Scan", "Unique"}
STAGED = 2  # batches in pinned memory: one is filled while the other is copied and run
RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"  # the session option that `why_not` needs


def batch_sizes(largest: int) -> list[int]:
    """List the powers of two below the largest batch, and that."""
    return [2**power for power in range(largest.bit_length()) if 2**power < largest] + [largest]


def why_not(session: "onnxruntime.InferenceSession", version: str) -> str:
    """Why the runs of a session on CUDA cannot be recorded; empty if they can.

    Args:
        session: opened with the option `RECORD_PLACEMENT`.
        version: of onnxruntime.
    """
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
        needed = ".".join(map(str, MIN_VERSION))
        return f"it needs onnxruntime-gpu {needed} or newer, and this is {version}"
    nodes = [node for part in session.get_provider_graph_assignment_info() for node in part.get_nodes()]
    if found := sorted({node.op_type for node in nodes} & READ_BY_THE_HOST):
        return f"the model has {' and '.join(found)}, whose result the host must read"
    return ""


class RecordedRuns:
    """Runs of a session, padded to the next of a few sizes. Safe to use from several threads."""

    def __init__(
        self,
        session: "onnxruntime.InferenceSession",
        outputs: Sequence[str],
        largest: int,
        device: Literal["cuda", "cpu"] = "cuda",
    ) -> None:
        """Record a run of each size.

        Args:
            session: opened with `enable_cuda_graph`, and used by nobody else.
            outputs: names of the outputs to return, each float32 (batch, ...).
            largest: most chunks in one run; a longer batch is run in parts.
            device: where inputs and outputs lie; on a CPU nothing is recorded, and all else is the same.
        """
        # ONNX Runtime records for each thread that calls it anew, so all runs are of one thread.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="genre-cuda-graph")
        self._largest = largest
        self._staged: SimpleQueue[FloatArray] = SimpleQueue()
        for _ in range(STAGED):
            self._staged.put(_pinned(largest) if device == "cuda" else _zeros(largest))
        self._runs = {size: _Run(session, outputs, size, device) for size in batch_sizes(largest)}
        for size in self._runs:
            self.run(_zeros(size))

    def run(self, chunks: FloatArray) -> list[FloatArray]:
        """The outputs of chunks, float32 (batch, 66150), in the order of their names."""
        parts = [self._run(chunks[start : start + self._largest]) for start in range(0, len(chunks), self._largest)]
        return parts[0] if len(parts) == 1 else [np.concatenate(each) for each in zip(*parts, strict=True)]

    def _run(self, chunks: FloatArray) -> list[FloatArray]:
        rows = len(chunks)
        size = next(size for size in self._runs if size >= rows)
        staged = self._staged.get()
        try:
            staged[:rows] = chunks
            staged[rows:size] = 0
            return self._thread.submit(self._runs[size], staged[:size], rows).result()
        finally:
            self._staged.put(staged)


class _Run:
    """A run of one size, whose input and outputs stay where they are."""

    def __init__(self, session: "onnxruntime.InferenceSession", outputs: Sequence[str], size: int, device: str) -> None:
        onnxruntime: Any = sys.modules["onnxruntime"]  # the session's own
        self._session = session
        shapes = {value.name: [size, *value.shape[1:]] for value in session.get_outputs()}

        def place(shape: list[int]) -> Any:
            return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, device, 0)

        self._input = place([size, CHUNK_SAMPLES])
        self._outputs = [place(shapes[name]) for name in outputs]
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(INPUT, self._input)
        for name, value in zip(outputs, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(name, value)
        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry("gpu_graph_id", str(size))

    def __call__(self, staged: FloatArray, rows: int) -> list[FloatArray]:
        """The outputs of the first rows of a whole batch."""
        self._input.update_inplace(staged)
        self._session.run_with_iobinding(self._binding, self._options)
        return [np.array(value.numpy()[:rows]) for value in self._outputs]


def _zeros(rows: int) -> FloatArray:
    return np.zeros((rows, CHUNK_SAMPLES), np.float32)


def _pinned(rows: int) -> FloatArray:
    """Zeros in memory that the GPU copies from directly; where that fails, in ordinary memory, only slower."""
    array = _zeros(rows)
    address = ctypes.c_void_p(array.ctypes.data)
    with suppress(OSError, AttributeError):
        cuda = ctypes.CDLL("cudart64_13.dll" if sys.platform == "win32" else "libcudart.so.13")
        if cuda.cudaHostRegister(address, ctypes.c_size_t(array.nbytes), 0) == 0:
            weakref.finalize(array, cuda.cudaHostUnregister, address).atexit = False
    return array
