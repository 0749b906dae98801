"""Small runs of the benchmarks of the service and of the command line."""

import json
import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.songs import recording


@pytest.fixture
def run(tmp_path):
    def run(name, *options, picture=True):
        output = tmp_path / "result.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", *options, "--output", str(output)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        assert not picture or output.with_suffix(".png").stat().st_size > 10_000
        result = json.loads(output.read_text())
        assert result["timed"]
        versions = result["machine"]["versions"]
        assert {versions["onnxruntime"], versions["onnxruntime-gpu"]} != {"absent"}
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
            assert figures["p50_ms"] > 0
            assert figures["a_second"] > 0
    assert set(result["cold_start"]) == {
        *("start_to_ready_s", "first_request_ms", "steady_p50_ms", "first_against_steady")
    }
    assert set(result["alone_ms"]) == {"decode", "graph"}
    assert len(result["ratios"]) == 2
    assert "times faster, p50" in printed


@pytest.mark.slow
def test_batching_is_measured_on_and_off(run):
    result, _ = run("batching", "--lengths", "3", "--clients", "1", "8", "--seconds", "1")
    assert result["model"] == "CPUExecutionProvider"
    for clients in (1, 8):
        measured = result[f"3 s, {clients} clients"]
        assert measured["off"]["rows_a_run"] == 1  # a request has one chunk, and no two share a run
        assert all(set(each["statuses"]) == {"200"} for each in measured.values())
    assert result["3 s, 1 clients"]["on"]["rows_a_run"] == 1
    assert result["3 s, 8 clients"]["on"]["rows_a_run"] > 1


@pytest.mark.slow
def test_the_processor_time_of_a_request_is_measured(run):
    result, _ = run("fleet", "--seconds", "3", picture=False)
    short, long = (result["by_clip"][length] for length in ("3", "30"))
    for row in (short, long):
        assert set(row["statuses"]) == {"200"}
        assert all(value > 0 for value in row["cpu_ms"].values())
    assert long["cpu_ms"]["model"] > 4 * short["cpu_ms"]["model"]  # ten chunks instead of one, in larger batches


@pytest.mark.slow
def test_the_pipe_is_measured_beside_an_earlier_revision(run):
    options = ["--chunks", "10", "--seconds", "2", "--rounds", "1", "--against", "HEAD"]
    result, printed = run("pipe", *options, picture=False)
    assert list(result["request"]) == ["here", "HEAD"]
    for each in (*result["slot_to_session"]["clips of 10 chunks"].values(), *result["request"].values()):
        assert all(value > 0 for value in each.values())
    assert "here / before" in printed


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


@pytest.mark.slow
def test_throughput_memory_and_the_cost_of_length_are_measured(run):
    result, printed = run("throughput", "--files", "4", "--hour", "60", "--rounds", "1")
    assert len(result["files_a_second"]) in {4, 8}  # formats, on one core and on all
    assert result["length"]["60"]["memory_mib"] > 50
    assert result["length"]["30"]["front_mib"] > 50
    assert set(result["hour"]) == set(result["start_s"])
    assert "60 s in one file against files of 30 s" in printed


@pytest.mark.slow
def test_batch_is_measured_beside_the_command_line(run):
    result, printed = run("batch", "--files", "12", picture=False)
    for cores, row in result["by_cores"].items():
        assert f"{cores} cores:" in printed
        assert row["ratio"] == pytest.approx(row["batch_files_a_second"] / row["command_line_files_a_second"], abs=0.01)
        assert row["batch_start_s"] > 0
        assert row["command_line_start_s"] > 0
