"""The benchmarks of the service and of the command line, in small, as their users start them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.songs import recording

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    def run(name, *options):
        output = tmp_path / "result.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", *options, "--output", str(output)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == 0, ended.stderr
        assert output.with_suffix(".png").stat().st_size > 10_000
        result = json.loads(output.read_text())
        assert result["timed"]
        assert result["machine"]["versions"]["onnxruntime-gpu"]
        return result, ended.stdout

    return run


@pytest.mark.slow
def test_latency_is_measured_beside_the_librosa_server(run):
    options = ["--lengths", "30", "--kinds", "MP3", "--clients", "1", "--starts", "1", "--seconds", "1"]
    result, printed = run("latency", *options)
    for clients in (1, 8):
        for figures in result["latency"][f"30 s MP3, {clients} clients"].values():
            assert set(figures["statuses"]) == {"200"}
            assert figures["requests"] >= clients
            assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
            assert figures["a_second"] > 0
    assert result["cold_start"]["start_to_ready_s"] > 0
    assert all(milliseconds > 0 for milliseconds in result["alone_ms"].values())
    assert len(result["ratios"]) == 3
    assert "times faster, p50" in printed


@pytest.mark.slow
def test_batching_is_measured_on_and_off(run):
    result, _ = run("batching", "--lengths", "3", "--clients", "1", "8", "--seconds", "1")
    assert result["model"] == "CPUExecutionProvider"
    for clients in (1, 8):
        measured = result[f"3 s, {clients} clients"]
        assert measured["off"]["rows_a_run"] == 1  # what each request has, and no two share a run
        assert measured["on"]["rows_a_run"] >= 1
        assert all(set(each["statuses"]) == {"200"} for each in measured.values())
    assert result["3 s, 8 clients"]["on"]["rows_a_run"] > 1


def test_exactness_is_measured_on_real_music(tmp_path):
    folder = tmp_path / "gtzan" / "blues"
    folder.mkdir(parents=True)
    (folder / "blues.00000.ogg").write_bytes(recording("OGG", 9).content)
    output = tmp_path / "exactness.json"
    command = [sys.executable, "-m", "benchmarks.exactness", "--data", str(tmp_path), "--output", str(output)]
    subprocess.run(command, cwd=ROOT, check=True)
    result = json.loads(output.read_text())
    assert result["chunks"] == 2  # of a clip, the second and the last
    assert all(0 < each["largest"] < 0.01 for each in result["difference"].values())


def test_throughput_memory_and_the_cost_of_length_are_measured(run):
    result, printed = run("throughput", "--files", "4", "--hour", "60", "--rounds", "1")
    assert len(result["files_a_second"]) in {4, 8}  # formats, on one core and on all
    assert result["length"]["60"]["memory_mib"] > 50
    assert 50 < result["length"]["30"]["front_mib"] <= result["length"]["60"]["front_mib"]
    assert set(result["hour"]) == set(result["start_s"])
    assert "60 s in one file against files of 30 s" in printed
