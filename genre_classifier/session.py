"""The ONNX Runtime session: the graph, what its metadata says, and the execution provider that runs it."""

import contextlib
import ctypes
import io
import json
import logging
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE
from genre_classifier.batching import GPU_BATCH
from genre_classifier.cuda_graph import RECORD_PLACEMENT, RecordedRuns, why_not
from genre_classifier.outputs import INPUT, FloatArray, Outputs

if TYPE_CHECKING:
    import onnxruntime

logger = logging.getLogger("genre_classifier")
logger.addHandler(logging.NullHandler())  # a library says nothing unless its user sets logging up

Provider = Literal["auto", "cuda", "cpu"]

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
# TF32 keeps 10 bits and would raise a noise floor inside the features' 80 dB range. The default convolution search
# times every algorithm anew for each batch size, hundreds of milliseconds each. By default the memory arena doubles
# each time it grows, and would soon meet its limit.
CUDA_OPTIONS = {
    "use_tf32": "0",
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}
# MiB of GPU memory. ONNX Runtime's arena takes at most 9.5 for a chunk, with two runs at a time. The rest is for the
# weights and for what cuDNN's convolutions need.
CHUNK_GPU_MB, FIXED_GPU_MB = 12, 512
LOG_NOTHING = 4  # ONNX Runtime's log level "fatal"
SUM_TOLERANCE = 1e-3  # what a session run may add to a sum of ten float32 probabilities
JSON_METADATA = {"labels", "tags", "metrics"}


class ModelError(Exception):
    """The model cannot be used; the message is one sentence for whoever runs the program."""


class ModelInfo(BaseModel):
    """What the graph says about itself, and what runs it."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    labels: tuple[str, ...]
    """Genres in output order."""
    tags: tuple[str, ...] = ()
    """Tags in output order; none where the model has no such output."""
    sample_rate: int
    chunk_samples: int
    version: str
    uncertain_below: float
    """Confidence under which an answer is called uncertain."""
    recognised_above: float | None = None
    """Familiarity that a clip must exceed to be called recognised; None where the model does not say."""
    temperature: float = 1.0
    """Already applied in the graph."""
    network: str = ""
    licence: str = ""
    trained_on: str = ""
    split_sha256: str = ""
    metrics: dict[str, Any] = {}
    """Accuracy as measured by training."""
    provider: str
    """The execution provider in use, by ONNX Runtime's name."""

    @model_validator(mode="after")
    def _fits_this_code(self) -> Self:
        if self.sample_rate != SAMPLE_RATE:
            raise ValueError(f"its sample_rate is {self.sample_rate} and must be {SAMPLE_RATE}")
        if self.chunk_samples != CHUNK_SAMPLES:
            raise ValueError(f"its chunk_samples is {self.chunk_samples} and must be {CHUNK_SAMPLES}")
        if not self.labels:
            raise ValueError("it names no labels")
        for name in ("labels", "tags"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"its {name} name one twice")
        for name in ("uncertain_below", "recognised_above", "temperature"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"its {name} is not a finite number")
        return self


class GenreSession:
    """A loaded graph: chunks in, outputs out. Safe to use from several threads."""

    def __init__(
        self,
        model: Path,
        *,
        provider: Provider = "auto",
        threads: int = 0,
        largest_batch: int = GPU_BATCH,
        gpu_memory_mb: int | None = None,
        cuda_graph: bool = False,
    ) -> None:
        """Load the graph on the best provider allowed.

        Args:
            model: the ONNX file.
            provider: auto takes CUDA where it works, else the CPU.
            threads: of the CPU; 0 leaves them to ONNX Runtime.
            largest_batch: most chunks in a run on a GPU, which decides the next two.
            gpu_memory_mb: MiB that the session may take of a GPU; by default what the largest batch needs.
            cuda_graph: on a GPU, replay recorded runs of a few batch sizes, where model and ONNX Runtime allow it.

        Raises:
            ModelError: no ONNX Runtime, no such file, no valid graph, metadata that is missing or does not fit, or
                provider "cuda" without a working GPU.
        """
        if not model.is_file():
            raise ModelError(f"There is no model file at {model}: train and export one, or name another.")
        cuda = {"gpu_mem_limit": str((gpu_memory_mb or default_gpu_memory_mb(largest_batch)) * 2**20)}
        self._session = _open_session(model, provider, threads, cuda)
        given = {output.name: output.shape for output in self._session.get_outputs()}
        self._outputs = [name for name in Outputs._fields if name in given]
        self.info = _read_info(model, self._session, given)
        self._recorded = None
        if cuda_graph and self.info.provider == CUDA:
            self._recorded = self._record(model, threads, cuda, largest_batch)

    def run(self, chunks: FloatArray) -> Outputs:
        """Run the graph once on chunks, float32 (batch, 66150)."""
        outputs = self._recorded.run(chunks) if self._recorded else self._session.run(self._outputs, {INPUT: chunks})
        return Outputs(**dict(zip(self._outputs, outputs, strict=True)))

    def check(self, chunks: FloatArray) -> None:
        """Run once on chunks, float32 (batch, 66150), and see that what comes out are probabilities.

        Raises:
            ModelError: the graph does not run, or its output is no probability distribution.
        """
        try:
            outputs = self.run(chunks)
        except Exception as error:
            raise ModelError(f"The model does not run on a test clip: {_reason(error)}.") from error
        sums = np.exp(outputs.log_probs.astype(np.float64)).sum(axis=1)
        fits = outputs.log_probs.shape == (len(chunks), len(self.info.labels)) and (
            outputs.tags is None or outputs.tags.shape == (len(chunks), len(self.info.tags))
        )
        finite = all(np.isfinite(each).all() for each in outputs if each is not None)
        if not (fits and finite and np.allclose(sums, 1.0, atol=SUM_TOLERANCE)):
            raise ModelError("The model's output on a test clip is not a probability for each label: export it again.")

    def _record(self, model: Path, threads: int, cuda: dict[str, str], largest: int) -> RecordedRuns | None:
        """Recorded runs of a session of their own, in the place of this one; None, and a warning, if there are none."""
        reason = why_not(self._session, import_onnxruntime().__version__)
        if not reason:
            try:
                session = _open_session(model, "cuda", threads, {**cuda, "enable_cuda_graph": "1"})
                runs = RecordedRuns(session, self._outputs, largest)
            except Exception as error:  # noqa: BLE001 (a GPU that fails raises a dozen types)
                reason = _reason(error)
            else:
                self._session = session  # the other one's memory is free again
                return runs
        logger.warning("No CUDA graph, %s: each run launches its kernels one by one.", reason)
        return None


def default_gpu_memory_mb(largest_batch: int) -> int:
    """MiB of a GPU's memory that runs of up to so many chunks need."""
    return FIXED_GPU_MB + CHUNK_GPU_MB * largest_batch


def has_nvidia_driver() -> bool:
    """Whether CUDA might work here; only a session tells whether it does."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def import_onnxruntime() -> Any:
    """Import ONNX Runtime, which only a process that runs a graph should load, without its telemetry.

    Raises:
        ModelError: it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # by default it reports its use to its makers
    try:
        import onnxruntime  # noqa: PLC0415
    except ImportError as error:
        extra = "gpu" if has_nvidia_driver() else "cpu"
        sentence = f'ONNX Runtime is missing: install it with pip install "genre-classifier[{extra}]".'
        raise ModelError(sentence) from error
    return onnxruntime


def _open_session(model: Path, provider: str, threads: int, cuda: dict[str, str]) -> "onnxruntime.InferenceSession":
    """A session on CUDA, with more options, or on the CPU where that is allowed and CUDA does not work."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_NOTHING  # what matters of it is in the exceptions and in get_providers()
    options.intra_op_num_threads = threads
    # Threads that spin while they wait take the cores from those that decode: at 8 clients on two cores, an eighth of
    # the requests a second.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if provider != "cpu":
        session, why_not = None, "there is no NVIDIA driver"
        driver = has_nvidia_driver()
        if CUDA not in onnxruntime.get_available_providers():
            why_not = "this onnxruntime is built without it"
        elif driver:
            session, why_not = _try_cuda(model, options, cuda)
        if session:
            return session
        if provider == "cuda":
            raise ModelError(f"The provider is to be cuda, but CUDA does not work: {why_not}.")
        # Only where there is a GPU is it a fault not to use it.
        logger.log(logging.WARNING if driver else logging.INFO, "No CUDA, %s: the model runs on the CPU.", why_not)
    try:
        return onnxruntime.InferenceSession(model, options, providers=[CPU])
    except Exception as error:
        raise ModelError(f"{model} is not a model that ONNX Runtime can load: {_reason(error)}.") from error


def _try_cuda(
    model: Path, options: "onnxruntime.SessionOptions", cuda: dict[str, str]
) -> tuple["onnxruntime.InferenceSession | None", str]:
    """A session on CUDA, or None and why not."""
    onnxruntime = import_onnxruntime()
    onnxruntime.set_default_logger_severity(LOG_NOTHING)  # it writes pages where CUDA fails
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            onnxruntime.preload_dlls()  # the CUDA and cuDNN libraries that pip installed
        options.add_session_config_entry(RECORD_PLACEMENT, "1")
        providers = [(CUDA, {**CUDA_OPTIONS, **cuda}), CPU]
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # noqa: BLE001 (a GPU that fails raises a dozen types)
        return None, _reason(error)
    # Falling back to the CPU is silent in ONNX Runtime; the list of providers tells.
    if CUDA in session.get_providers():
        return session, ""
    return None, printed.getvalue().partition("\n")[0].rstrip(".") or "no GPU that works with this onnxruntime"


def _read_info(model: Path, session: "onnxruntime.InferenceSession", outputs: dict[str, list[Any]]) -> ModelInfo:
    """What the graph's metadata says, where it fits the graph's outputs and this code."""
    written: dict[str, str] = session.get_modelmeta().custom_metadata_map
    again = "write it with python -m export"
    try:
        metadata = {key: json.loads(text) if key in JSON_METADATA else text for key, text in written.items()}
        info = ModelInfo.model_validate({**metadata, "provider": session.get_providers()[0]})
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise ModelError(f"{model} does not fit: {first['ctx']['error']}; {again}.") from error
        wrong = ", ".join(str(problem["loc"][0]) for problem in error.errors())
        raise ModelError(f"{model} has no usable metadata {wrong}: {again}.") from error
    except ValueError as error:
        raise ModelError(f"{model} has metadata that is not JSON ({error}): {again}.") from error
    for name in ("log_probs", "embedding"):
        if name not in outputs:
            raise ModelError(f"{model} has no output {name}: {again}.")
    for output, name in (("log_probs", "labels"), ("tags", "tags")):
        width, names = outputs.get(output, [0])[-1], getattr(info, name)
        if isinstance(width, int) and width != len(names):
            raise ModelError(f"{model} names {len(names)} {name} for an output {output} of {width}: {again}.")
    if ("familiarity" in outputs) != (info.recognised_above is not None):
        raise ModelError(f"{model} has only one of the output familiarity and recognised_above: {again}.")
    return info


def _reason(error: Exception) -> str:
    """The first line of what a library says, without ONNX Runtime's codes before it."""
    return str(error).strip().partition("\n")[0].rpartition(" : ")[2].rstrip(".") or type(error).__name__
