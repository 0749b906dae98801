"""Checks of the graphs in ONNX Runtime: provider, placement, parity, speed and memory."""

import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.gpu_report import MODELS, Findings, batch_of, chunks_to_try, open_cuda, why_no_cuda
from benchmarks.roofline import CALLS, count, predict
from genre_classifier.models import find_model
from genre_classifier.outputs import FloatArray, Outputs
from genre_classifier.session import GenreSession, default_gpu_memory_mb

BATCHES = (1, 4, 10, 16, 64, 256)
TOLERANCE, MAX_BEYOND = 1e-3, 0.01  # of log-probabilities; share of the chunks that may differ by more
TARGET_CHUNKS, TARGET_TEN_MS = (
    20_000,
    3.0,
)  # a second at the best batch; for ten chunks: of the default model, on an H100
HOPPER = ("H100", "H200")
CONTEXT_MB = 1024  # what CUDA, cuBLAS and cuDNN may take beside the session
RECORDED = "genre"  # the model whose runs a CUDA graph can hold


def check_provider(findings: Findings) -> None:
    """CUDA is in use for both models; the one that can be recorded is, and the other says why not."""
    if why := why_no_cuda():
        findings.skip("the CUDA provider", why)
        return
    for model in MODELS:
        session = open_cuda(model, findings)
        findings.figures[model] = session.info.provider if session else "none"
    open_cuda(RECORDED, findings, cuda_graph=True)


def check_placement(findings: Findings) -> None:
    """No node that works on data is left to the CPU, and nothing is copied between the two."""
    from tests.support import cuda_kernels, cuda_stub  # noqa: PLC0415 (it needs onnx)

    for model in MODELS:
        optimised = cuda_kernels.optimised(find_model(model))
        left = cuda_kernels.left_to_the_cpu(optimised)
        findings.require(not left, f"{model}: no CUDA kernel for {', '.join(left)}")
        figures = {"nodes": len(optimised.graph.node), "without a kernel, by the table": len(left)}
        findings.figures[model] = figures
        if why := why_no_cuda():
            findings.skip(f"placement of {model} by the provider", why)
            continue
        with tempfile.TemporaryDirectory() as folder:
            placed = cuda_stub.placed(str(find_model(model)), folder)
            copies = cuda_stub.copies(Path(folder) / find_model(model).name)
        odd = placed["cpu"].keys() - cuda_kernels.shape_nodes(optimised)
        findings.require(not odd, f"{model}: on the CPU are {', '.join(sorted(odd))}")
        findings.require(not copies, f"{model}: {copies} copies between CPU and GPU inside the graph")
        figures |= {"on CUDA": placed["cuda"], "on the CPU, for shapes": len(placed["cpu"]), "copies": copies}


def check_parity(findings: Findings) -> None:
    """Outputs on CUDA, eager and recorded, are those of the CPU."""
    chunks = chunks_to_try(quick=findings.quick)
    findings.figures["chunks"] = len(chunks)
    for model in MODELS:
        sessions = _sessions(model, findings)
        alone = _by_batches(sessions["CPU"], chunks, 1)
        for name, session in sessions.items():
            # Then one by one again, since recorded runs share memory with those of other sizes.
            for batch in (7,) if name == "CPU" else (7, 64, 1):
                _compare(findings, f"{model}, {name}, batch {batch}", alone, _by_batches(session, chunks, batch))


def _sessions(model: str, findings: Findings, largest_batch: int = 64) -> dict[str, GenreSession]:
    """Sessions on the CPU, on CUDA and, where the model allows it, with recorded runs, as far as they work here."""
    sessions = {"CPU": GenreSession(find_model(model), provider="cpu")}
    if why := why_no_cuda():
        findings.skip(f"{model} on CUDA", why)
        return sessions
    for name, cuda_graph in (("CUDA", False), ("CUDA graph", True))[: 1 + (model == RECORDED)]:
        if session := open_cuda(model, findings, largest_batch=largest_batch, cuda_graph=cuda_graph):
            sessions[name] = session
    return sessions


def _by_batches(session: GenreSession, chunks: dict[str, FloatArray], batch: int) -> Outputs:
    whole = np.stack(list(chunks.values()))
    return Outputs.join([session.run(whole[start : start + batch]) for start in range(0, len(whole), batch)])


def _compare(findings: Findings, name: str, expected: Outputs, given: Outputs) -> None:
    difference = np.abs(given.log_probs - expected.log_probs).max(axis=1)
    beyond = float(np.mean(~(difference <= TOLERANCE)))
    findings.figures[name] = {"median": float(np.median(difference)), "beyond 1e-3": round(beyond, 4)}
    findings.require(beyond <= MAX_BEYOND, f"{name}: {beyond:.1%} of the chunks differ by more than {TOLERANCE:g}")


def check_speed(findings: Findings) -> None:
    """Chunks a second against batch: CUDA kernel by kernel, as a CUDA graph, and the CPU; and what was predicted."""
    chunks = chunks_to_try(quick=True)
    seconds = 0.1 if findings.quick else 1.0
    rates: dict[str, dict[str, float]] = {}
    for model in MODELS:
        for name, session in _sessions(model, findings, max(BATCHES)).items():
            batches = BATCHES[: 3 if findings.quick else 4] if name == "CPU" else BATCHES
            rates[f"{model}, {name}"] = {
                str(batch): _rate(session, batch_of(chunks, batch), seconds) for batch in batches
            }
    for batch in BATCHES:
        predicted = predict(count(find_model(RECORDED), batch), batch, CALLS[RECORDED])
        for name, took in (("CUDA", predicted.eager), ("CUDA graph", predicted.replayed)):
            rates.setdefault(f"{RECORDED}, {name}, predicted for an H100", {})[str(batch)] = round(batch / took, 1)
    findings.figures["chunks_a_second"] = rates
    _compare_with_targets(findings, rates)


def _rate(session: GenreSession, chunks: FloatArray, seconds: float) -> float:
    """Chunks a second, copies to the session and back included; two threads keep it busy, as in the library."""
    for _ in range(3):
        session.run(chunks)

    def work(end: float) -> int:
        runs = 0
        while time.perf_counter() < end:
            session.run(chunks)
            runs += 1
        return runs

    begin = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        runs = sum(pool.map(work, [begin + seconds] * 2))
    return round(runs * len(chunks) / (time.perf_counter() - begin), 1)


def _compare_with_targets(findings: Findings, rates: dict[str, dict[str, float]]) -> None:
    measured = [rates[name] for name in (f"{RECORDED}, CUDA", f"{RECORDED}, CUDA graph") if name in rates]
    name = gpu_name()
    if not measured or not any(chip in name for chip in HOPPER):
        findings.skip("the targets", f"they are for an H100, and this is {name or 'no GPU'}")
        return
    best = max(rate for each in measured for rate in each.values())
    ten = min(_ten_chunks_ms(findings, cuda_graph=graph) for graph in (False, True))
    findings.figures |= {"best_chunks_a_second": best, "ten_chunks_ms": ten}
    findings.require(best >= TARGET_CHUNKS, f"{best:.0f} chunks a second at best are fewer than {TARGET_CHUNKS}")
    findings.require(ten <= TARGET_TEN_MS, f"ten chunks take {ten:.2f} ms, more than {TARGET_TEN_MS:g}")


def _ten_chunks_ms(findings: Findings, *, cuda_graph: bool) -> float:
    """The median of a hundred runs, one after the other."""
    session = open_cuda(RECORDED, findings, cuda_graph=cuda_graph)
    if not session:
        return float("inf")
    ten, taken = batch_of(chunks_to_try(quick=True), 10), []
    for _ in range(100):
        begin = time.perf_counter()
        session.run(ten)
        taken.append(time.perf_counter() - begin)
    return round(1000 * float(np.median(taken)), 3)


def check_memory(findings: Findings) -> None:
    """Two runs of the largest batch at a time fit into the memory that a session takes by default."""
    if why := why_no_cuda():
        findings.skip("memory on a GPU", why)
        return
    for model in MODELS:
        for largest in (64, 256):
            before = used_mb()
            session = open_cuda(model, findings, largest_batch=largest)
            if not session:
                continue
            batch = batch_of(chunks_to_try(quick=True), largest)
            try:
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(session.run, [batch] * 8))
            except Exception as error:  # noqa: BLE001 (memory that is missing raises a dozen types)
                findings.failures.append(f"{model}, batch {largest}: {str(error).partition(chr(10))[0]}")
            limit, taken = default_gpu_memory_mb(largest), used_mb() - before
            findings.figures[f"{model}, batch {largest}"] = {"limit_mb": limit, "taken_mb": taken}
            findings.require(taken <= limit + CONTEXT_MB, f"{model}, batch {largest}: {taken} MiB, beyond {limit}")
            del session


def gpu_name() -> str:
    """Name, driver and memory of the first GPU, as the driver's own tool tells them; empty without one."""
    return _nvidia_smi("name,driver_version,memory.total")


def used_mb() -> int:
    """MiB of the first GPU's memory in use, by whichever process."""
    return int(_nvidia_smi("memory.used").removesuffix(" MiB") or 0)


def _nvidia_smi(query: str) -> str:
    if not shutil.which("nvidia-smi"):
        return ""
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.stdout.partition("\n")[0].strip() if told.returncode == 0 else ""
