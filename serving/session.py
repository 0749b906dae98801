"""The ONNX Runtime session: the graph, what its metadata says, and the execution provider that runs it."""

import contextlib
import ctypes
import io
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    import onnxruntime

FloatArray = npt.NDArray[np.float32]

logger = logging.getLogger("bentoml.genre")

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
# TF32 keeps 10 bits and would raise a noise floor inside the features' 80 dB range. The default convolution search
# times every algorithm anew for each batch size, hundreds of milliseconds each.
# Memory is taken as it is asked for: doubled each time, as it is by default, it would soon meet its limit.
CUDA_OPTIONS = {
    "use_tf32": "0",
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}
FATAL = 4  # of ONNX Runtime's log levels
# What one session run may add to a sum of ten float32 probabilities.
SUM_TOLERANCE = 1e-3


class ModelError(Exception):
    """The model cannot be served; the message is one sentence for the operator."""


class ModelInfo(BaseModel):
    """What the graph says about itself, and what runs it."""

    model_config = ConfigDict(frozen=True)

    labels: tuple[str, ...]
    """Genres in output order."""
    sample_rate: int
    chunk_samples: int
    version: str
    uncertain_below: float
    """Confidence under which an answer is called uncertain."""
    temperature: float = 1.0
    """Already applied in the graph."""
    trained_on: str = ""
    split_sha256: str = ""
    metrics: dict[str, Any] = {}
    """Accuracy as measured by training and export."""
    provider: str
    """The execution provider in use, by ONNX Runtime's name."""


class GenreSession:
    """A loaded graph: chunks in, log-probabilities and embeddings out."""

    def __init__(
        self,
        model: Path,
        *,
        provider: Literal["auto", "cuda", "cpu"] = "auto",
        threads: int = 0,
        gpu_memory_mb: int = 4096,
    ) -> None:
        """Load the graph on the best provider allowed.

        Args:
            model: the ONNX file.
            provider: auto takes CUDA where it works, else the CPU.
            threads: of the CPU; 0 leaves them to ONNX Runtime.
            gpu_memory_mb: MiB that the session may take of a GPU.

        Raises:
            ModelError: no such file, no valid graph, metadata missing, or provider "cuda" without a working GPU.
        """
        if not model.is_file():
            raise ModelError(f"There is no model file at {model}: train and export one, or set GENRE_MODEL.")
        self._session = _open_session(model, provider, threads, gpu_memory_mb)
        self.info = _read_info(model, self._session)

    def run(self, chunks: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Run the graph once.

        Args:
            chunks: float32 (batch, chunk_samples).

        Returns:
            log_probs float32 (batch, labels) and embedding float32 (batch, 128).
        """
        log_probs, embedding = self._session.run(["log_probs", "embedding"], {"waveform": chunks})
        return log_probs, embedding

    def check(self, chunks: FloatArray) -> None:
        """Run once for the warm-up, and see that what comes out are probabilities.

        Raises:
            ModelError: it does not run, or its output is no probability distribution.
        """
        try:
            log_probs, embedding = self.run(chunks)
        except Exception as error:
            raise ModelError(f"The model does not run on a test clip: {_reason(error)}.") from error
        sums = np.exp(log_probs.astype(np.float64)).sum(axis=1)
        sound = log_probs.shape == (len(chunks), len(self.info.labels)) and np.allclose(sums, 1.0, atol=SUM_TOLERANCE)
        if not (sound and np.isfinite(embedding).all()):
            raise ModelError("The model's output on a test clip is not a probability for each label: export it again.")


def _open_session(model: Path, provider: str, threads: int, gpu_memory_mb: int) -> "onnxruntime.InferenceSession":
    """A session on CUDA or, where that is allowed and CUDA does not work, on the CPU."""
    import onnxruntime  # noqa: PLC0415 (only the process that runs the graph should load it)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin while they wait take the cores from those that decode: at 8 clients on two cores, an eighth of
    # the requests a second.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    onnxruntime.set_default_logger_severity(FATAL)  # it writes pages where CUDA fails; what matters is said below
    if provider != "cpu":
        session, why_not = None, "there is no NVIDIA driver"
        driver = has_nvidia_driver()
        if CUDA not in onnxruntime.get_available_providers():
            why_not = "this onnxruntime is built without it"
        elif driver:
            session, why_not = _try_cuda(model, options, gpu_memory_mb)
        if session:
            return session
        if provider == "cuda":
            raise ModelError(f"GENRE_PROVIDER is cuda, but CUDA does not work: {why_not}.")
        # Only where there is a GPU is it a fault not to use it.
        logger.log(logging.WARNING if driver else logging.INFO, "No CUDA, %s: the model runs on the CPU.", why_not)
    try:
        return onnxruntime.InferenceSession(model, options, providers=[CPU])
    except Exception as error:
        raise ModelError(f"{model} is not a model ONNX Runtime can load: {_reason(error)}.") from error


def has_nvidia_driver() -> bool:
    """Whether CUDA might work here; only a session tells whether it does."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _try_cuda(
    model: Path, options: "onnxruntime.SessionOptions", memory_mb: int
) -> tuple["onnxruntime.InferenceSession | None", str]:
    """A session on CUDA, or None and why not."""
    import onnxruntime  # noqa: PLC0415

    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            onnxruntime.preload_dlls()  # the CUDA and cuDNN libraries that pip installed
        cuda = (CUDA, {**CUDA_OPTIONS, "gpu_mem_limit": str(memory_mb * 2**20)})
        session = onnxruntime.InferenceSession(model, options, providers=[cuda, CPU])
    except Exception as error:  # noqa: BLE001 (a GPU that fails raises a dozen types)
        return None, _reason(error)
    # Falling back to the CPU is silent in ONNX Runtime; the list of providers tells.
    if CUDA in session.get_providers():
        return session, ""
    return None, printed.getvalue().partition("\n")[0].rstrip(".") or "no GPU that works with this onnxruntime"


def _read_info(model: Path, session: "onnxruntime.InferenceSession") -> ModelInfo:
    """All that serving must know about the model, from the graph's own metadata."""
    written: dict[str, str] = session.get_modelmeta().custom_metadata_map
    try:
        metadata = {key: json.loads(text) if key in {"labels", "metrics"} else text for key, text in written.items()}
        return ModelInfo.model_validate({**metadata, "provider": session.get_providers()[0]})
    except ValidationError as error:
        wrong = ", ".join(str(problem["loc"][0]) for problem in error.errors())
        raise ModelError(f"{model} has no usable metadata {wrong}: write it with python -m export.") from error
    except ValueError as error:
        raise ModelError(f"{model} has metadata that is not JSON ({error}): write it with python -m export.") from error


def _reason(error: Exception) -> str:
    """The first line of what a library says, without ONNX Runtime's codes before it."""
    return str(error).strip().partition("\n")[0].rpartition(" : ")[2].rstrip(".") or type(error).__name__
