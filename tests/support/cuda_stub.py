"""The CUDA provider without a GPU: builds the stub of a CUDA runtime, and runs a graph through it in another process.

`python -m tests.support.cuda_stub` is that process; see `run`.
"""

import ctypes
import functools
import json
import logging.handlers
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np

from genre_classifier.audio import CHUNK_SAMPLES
from genre_classifier.cuda_graph import RECORD_PLACEMENT
from genre_classifier.session import CPU, CUDA, CUDA_OPTIONS, LOG_NOTHING, GenreSession, import_onnxruntime
from tests.support import ROOT

OVERLAY = ROOT / "build" / "onnxruntime-gpu"  # where `make placement` puts the locked onnxruntime-gpu
PROVIDER = "onnxruntime/capi/libonnxruntime_providers_cuda.so"
LIBRARIES = (
    *("libcuda.so.1", "libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10", "libcufft.so.12"),
    "libcudnn.so.9",
)
SYMBOL = re.compile(rb"(?<=\0)((?:__)?cu(?:da|blas|blasLt|rand|fft|dnn)?[A-Z]\w*)(?=\0)")
BATCHES = (1, 10, 64)
COUNTS = (
    "launches",
    "products",
    "cudnn_calls",
    "to_device",
    "pageable",
    "to_host",
    "waits",
    "replays",
    "violations",
    "bytes",
)


def missing() -> str:
    """Why the CUDA provider cannot be looked at here; empty if it can."""
    if sys.platform != "linux" or not shutil.which("gcc"):
        return "no Linux with gcc"
    if not (site() / PROVIDER).is_file():
        return "onnxruntime-gpu is not here: `make placement` brings it"
    return ""


def site() -> Path:
    """The folder of onnxruntime-gpu: this environment's, or where `make placement` puts it."""
    try:
        return Path(str(distribution("onnxruntime-gpu").locate_file("")))
    except PackageNotFoundError:
        return OVERLAY


@functools.cache
def build(folder: Path) -> Path:
    """Compile the stub for the functions that this onnxruntime-gpu asks for; return the folder of its libraries."""
    names = {name.decode() for name in SYMBOL.findall((site() / PROVIDER).read_bytes())}
    rest = folder / "rest.c"
    rest.write_text("".join(f"__attribute__((weak)) int {name}() {{ return 0; }}\n" for name in sorted(names)))
    library = folder / "libstub.so"
    source = Path(__file__).with_suffix(".c")
    command = ["gcc", "-O1", "-w", "-fPIC", "-fno-builtin", "-shared", "-o", str(library), str(source), str(rest)]
    subprocess.run(command, check=True)
    for name in LIBRARIES:
        (folder / name).symlink_to(library)
    return folder


def run(libraries: Path, what: str, *models: Path, save: Path | None = None) -> list[dict[str, Any]]:
    """The answers of `placed` or `looked` for each model, from a process in which the stub is CUDA.

    Args:
        libraries: as `build` returns them.
        what: the function.
        models: ONNX files.
        save: a new folder for the graphs as `placed` found them optimised.
    """
    paths = [str(site()), str(ROOT), os.environ.get("PYTHONPATH", "")]
    variables = {**os.environ, "LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if save:
        save.mkdir()
    command = [sys.executable, "-m", "tests.support.cuda_stub", what, str(save or ""), *map(str, models)]
    ended = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    answers: list[dict[str, Any]] = json.loads(ended.stdout.splitlines()[-1])
    return answers


def placed(model: str, save: str) -> dict[str, Any]:
    """How many of a graph's nodes are on CUDA, and which are not; none where no provider takes it. For `run`."""
    onnxruntime = import_onnxruntime()
    onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_NOTHING
    options.add_session_config_entry(RECORD_PLACEMENT, "1")
    if save:
        options.optimized_model_filepath = str(Path(save) / Path(model).name)
    try:
        session = onnxruntime.InferenceSession(model, options, providers=[(CUDA, CUDA_OPTIONS), CPU])
    except Exception:  # noqa: BLE001 (no provider has such a kernel)
        return {"cuda": 0, "cpu": {}}
    assert session.get_providers()[0] == CUDA
    nodes = [(part.ep_name, node) for part in session.get_provider_graph_assignment_info() for node in part.get_nodes()]
    on_cpu = {node.name: node.op_type for provider, node in nodes if provider == CPU}
    return {"cuda": len(nodes) - len(on_cpu), "cpu": on_cpu}


def copies(path: Path) -> int:
    """How many copies between CPU and GPU are in a graph that `placed` has saved."""
    import onnx  # noqa: PLC0415 (the process of `run` does without it)

    return sum(node.op_type.startswith("Memcpy") for node in onnx.load(path).graph.node)


def looked(model: str, save: str) -> dict[str, Any]:
    """What a run of 1, 10 and 64 chunks asks of CUDA, one kernel after the other and recorded. For `run`."""
    logging.getLogger("genre_classifier").addHandler(handler := logging.handlers.BufferingHandler(100))
    before = _read()
    eager = GenreSession(Path(model), provider="cuda")
    eager_runs = {rows: _third_run(eager, rows) for rows in BATCHES}
    arena = _read()["bytes"] - before["bytes"]
    recorded = GenreSession(Path(model), provider="cuda", cuda_graph=True)
    recording = _read()
    runs = {rows: _third_run(recorded, rows) for rows in BATCHES}
    return {
        "eager": eager_runs,
        "recorded": runs,
        "said": [record.getMessage() for record in handler.buffer],
        "violations": recording["violations"],
        "stale": ctypes.CDLL(LIBRARIES[0]).stub_stale(),
        "arena": arena,
    }


def _third_run(session: GenreSession, rows: int) -> dict[str, int]:
    """What it asks for: by then the memory is there, and what is remembered of a shape."""
    for _ in range(3):
        ctypes.CDLL(LIBRARIES[0]).stub_reset()
        outputs = session.run(np.zeros((rows, CHUNK_SAMPLES), np.float32))
        assert all(len(each) == rows for each in outputs if each is not None)
    return _read()


def _read() -> dict[str, int]:
    counts = (ctypes.c_long * len(COUNTS))()
    ctypes.CDLL(LIBRARIES[0]).stub_read(counts)
    return dict(zip(COUNTS, counts, strict=True))


if __name__ == "__main__":
    for name in LIBRARIES:
        ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    what, save, *models = sys.argv[1:]
    print(json.dumps([{"placed": placed, "looked": looked}[what](model, save) for model in models]))
