"""`make gpu-check` where there is no GPU: what it can run passes, what it cannot is named, and what is wrong fails."""

import json
import os
import re
import subprocess
import sys

import pytest

from benchmarks import gpu
from benchmarks.gpu_report import Findings, why_no_cuda, why_no_torch_cuda
from tests.support import ROOT, cuda_stub

needs_provider = pytest.mark.skipif(bool(cuda_stub.missing()), reason=cuda_stub.missing())
has_gpu = not why_no_cuda() or not why_no_torch_cuda()


def run(tmp_path, *options, **variables):
    """Exit code, result and output of the command."""
    output = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--quick", "--output", str(output), *options]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    return ended.returncode, json.loads(output.read_text()), ended.stdout


def passes_dry(code, result, printed):
    assert code == 0, printed
    assert result["gpu"] == "none: nothing here is measured on a GPU"
    for name, check in result["checks"].items():
        assert check["outcome"] in {"passed", "skipped"}, name
        for sentence in check["skipped"]:
            assert re.fullmatch(r".+: .+", sentence)
            assert f"skipped: {sentence}" in printed
    return {name: check["outcome"] for name, check in result["checks"].items()}


@pytest.mark.skipif(has_gpu, reason="this is no dry run")
def test_what_can_run_without_a_gpu_runs(tmp_path):
    code, result, printed = run(tmp_path, "--only", "provider", "placement", "speed", "memory")
    outcomes = passes_dry(code, result, printed)
    assert outcomes == {"provider": "skipped", "placement": "passed", "speed": "passed", "memory": "skipped"}
    rates = result["checks"]["speed"]["figures"]["chunks_a_second"]
    assert all(rate > 0 for each in rates.values() for rate in each.values())
    assert {name for name in rates if "predicted" not in name} == {"genre, CPU", "cnn, CPU"}
    assert (tmp_path / "gpu.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(has_gpu, reason="this is no dry run")
def test_the_dry_run_passes_from_end_to_end(tmp_path):
    outcomes = passes_dry(*run(tmp_path))
    assert set(outcomes) == set(gpu.CHECKS)
    assert {name for name, outcome in outcomes.items() if outcome == "skipped"} == {"provider", "memory", "features"}


@needs_provider
@pytest.mark.skipif(has_gpu, reason="the stub would stand in for a real GPU")
def test_a_gpu_whose_kernels_do_nothing_is_found_out(tmp_path, cuda_libraries):
    """Over a CUDA runtime that does nothing, everything of CUDA runs, and its numbers are wrong."""
    path = os.pathsep.join([str(cuda_stub.site()), str(ROOT)])
    options = ["--only", "provider", "placement", "parity", "memory"]
    code, result, printed = run(tmp_path, *options, PYTHONPATH=path, LD_LIBRARY_PATH=str(cuda_libraries))
    assert code == 1
    checks = result["checks"]
    assert {name: check["outcome"] for name, check in checks.items()} == {
        **dict.fromkeys(("provider", "placement", "memory"), "passed"),
        "parity": "failed",
    }
    assert checks["provider"]["figures"] == dict.fromkeys(("genre", "cnn"), "CUDAExecutionProvider")
    assert checks["placement"]["figures"]["genre"]["on CUDA"] > 200
    assert "failed: genre, CUDA graph, batch 64: 100.0% of the chunks differ by more than 0.001" in printed


def test_a_check_that_crashes_or_hangs_has_failed(monkeypatch):
    hangs = gpu._in_a_process("placement", 0.05, quick=True)  # noqa: SLF001
    assert (hangs["outcome"], hangs["failures"]) == ("failed", ["it was not done in 0 s"])
    monkeypatch.setattr(gpu.sys, "executable", "/bin/false")
    crashes = gpu._in_a_process("placement", 10, quick=True)  # noqa: SLF001
    assert (crashes["outcome"], crashes["failures"]) == ("failed", ["it ended with 1: "])


def test_a_package_that_is_missing_skips_its_check_alone(monkeypatch, tmp_path):
    def check(findings):
        import no_such_package  # noqa: F401, PLC0415

    monkeypatch.setattr(gpu, "find_check", lambda _: check)
    gpu.run_check("service", tmp_path / "findings.json", quick=True)
    found = json.loads((tmp_path / "findings.json").read_text())
    assert found["skipped"] == ["service: no_such_package is not installed"]
    assert found["failures"] == []


def test_every_check_has_a_function():
    assert all(callable(gpu.find_check(name)) for name in gpu.CHECKS)


def test_what_is_required_and_is_not_so_is_a_failure():
    findings = Findings(quick=True)
    findings.require(condition=True, sentence="good")
    findings.require(condition=False, sentence="bad")
    assert findings.failures == ["bad"]
