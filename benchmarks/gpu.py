"""All that only a GPU can settle, in one command under nine minutes: `python -m benchmarks.gpu`, or `make gpu-check`.

Each check runs in a process of its own, so that one that crashes or hangs costs no other. What cannot run here is named
with its reason; without a GPU that is the larger part. Exit code 1 where a check fails.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu_report import Findings
from benchmarks.machine import machine
from benchmarks.timing import write_result

ROOT = Path(__file__).parents[1]
MEASURED, DRY = ROOT / "benchmarks" / "results" / "gpu.json", ROOT / "build" / "gpu.json"
BUDGET_SECONDS = 520
# By name, the most seconds that a check may take; the most important ones first, should the time run out.
CHECKS = {
    "provider": 60,
    "placement": 60,
    "parity": 120,
    "speed": 120,
    "memory": 60,
    "features": 90,
    "amp": 240,
    "torchrun": 120,
    "service": 120,
    "export": 240,
}
PACKAGES = ("onnxruntime-gpu", "onnxruntime", "torch", "numpy", "nvidia-cudnn-cu13", "nvidia-cublas")


def find_check(name: str) -> Callable[[Findings], None]:
    """The function of a check; its imports are its own, so that a package that is missing skips no other check."""
    if name == "service":
        from benchmarks.gpu_service import check_service  # noqa: PLC0415

        return check_service
    if name in {"features", "amp", "torchrun", "export"}:
        from benchmarks import gpu_training as module  # noqa: PLC0415
    else:
        from benchmarks import gpu_session as module  # type: ignore[no-redef] # noqa: PLC0415
    check: Callable[[Findings], None] = getattr(module, f"check_{name}")
    return check


def run_check(name: str, output: Path, *, quick: bool) -> None:
    """Run one check in this process, and write what it finds."""
    findings = Findings(quick)
    try:
        find_check(name)(findings)
    except ModuleNotFoundError as error:
        findings.skip(name, f"{error.name} is not installed")
    write_result(output, asdict(findings))


def run(names: Sequence[str], output: Path | None, *, quick: bool) -> int:
    """Run the checks, print and write what they find; return the exit code."""
    begin = time.monotonic()
    checks: dict[str, dict[str, Any]] = {}
    for name in names:
        left = BUDGET_SECONDS - (time.monotonic() - begin)
        checks[name] = _in_a_process(name, min(CHECKS[name], left), quick=quick)
        _print(name, checks[name])
    gpu = _gpu()
    result = {"gpu": gpu or "none: nothing here is measured on a GPU", "checks": checks, "machine": machine(*PACKAGES)}
    path = output or (MEASURED if gpu and not quick else DRY)
    write_result(path, result)
    rates = checks.get("speed", {}).get("figures", {}).get("chunks_a_second")
    if rates:
        plot(rates, path.with_suffix(".png"))
    failed = [name for name, check in checks.items() if check["outcome"] == "failed"]
    seconds = time.monotonic() - begin
    print(f"\n{len(checks) - len(failed)} of {len(checks)} checks without a failure in {seconds:.0f} s: {path}")
    return 1 if failed else 0


def _in_a_process(name: str, seconds: float, *, quick: bool) -> dict[str, Any]:
    """What a check finds, with its outcome: passed, failed, or skipped where it could do nothing."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "findings.json"
        command = [sys.executable, "-m", "benchmarks.gpu", "--check", name, "--output", str(written)]
        command += ["--quick"] if quick else []
        with tempfile.TemporaryFile() as errors:
            # A session of its own, so that the processes that it starts end with it.
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
            )
            try:
                code = process.wait(max(seconds, 0))
                errors.seek(0)
                last = (errors.read().decode(errors="replace").strip().splitlines() or [""])[-1]
                why = f"it ended with {code}: {last}" if code else ""
            except subprocess.TimeoutExpired:
                why = f"it was not done in {max(seconds, 0):.0f} s"
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        found = json.loads(written.read_text(encoding="utf-8")) if written.exists() else asdict(Findings(quick))
    if why:
        found["failures"].append(why)
    outcome = "failed" if found["failures"] else "passed" if found["figures"] else "skipped"
    return {"outcome": outcome, "seconds": round(time.monotonic() - begin, 1), **found}


def _print(name: str, check: dict[str, Any]) -> None:
    print(f"{check['outcome']:<9}{name:<12}{check['seconds']:6.0f} s", flush=True)
    for sentence in check["failures"]:
        print(f"         failed: {sentence}", flush=True)
    for sentence in check["skipped"]:
        print(f"         skipped: {sentence}", flush=True)


def _gpu() -> str:
    from benchmarks.gpu_session import gpu_name  # noqa: PLC0415 (as above)

    return gpu_name()


def plot(rates: dict[str, dict[str, float]], path: Path) -> None:
    """Chunks a second against batch, what is measured and what was predicted."""
    import matplotlib as mpl  # noqa: PLC0415 (a machine that only checks may lack it)

    mpl.use("agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, points in rates.items():
        style = "--" if "predicted" in name else "-"
        axes.plot([int(batch) for batch in points], list(points.values()), style, marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="chunks in a batch", ylabel="chunks a second")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m benchmarks.gpu`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(CHECKS), default=list(CHECKS), help="these checks alone")
    parser.add_argument("--quick", action="store_true", help="prove in a minute or two that the checks run, no more")
    parser.add_argument(
        "--output",
        type=Path,
        help="the JSON file to write, and beside it a plot "
        "(default: benchmarks/results/gpu.json; without a GPU, or with --quick, build/gpu.json)",
    )
    parser.add_argument("--check", choices=list(CHECKS), help=argparse.SUPPRESS)  # in a process of its own
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: 0, or 1 where a check fails."""
    args = parse_args(argv)
    if args.check:
        run_check(args.check, args.output, quick=args.quick)
        return 0
    return run(args.only, args.output, quick=args.quick)


if __name__ == "__main__":
    sys.exit(main())
