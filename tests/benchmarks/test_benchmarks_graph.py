"""`python -m benchmarks.graph` and the baseline's server, in small."""

import io
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import soundfile as sf

from audio import SAMPLE_RATE
from audio.sample import synthesise
from benchmarks.timing import compare, timed
from benchmarks.ways import LIBROSA, ORT, TORCH, chunks

ROOT = Path(__file__).parents[2]


def test_turns_are_timed_by_their_median():
    slow = iter([0.0, 0.3, 0.02, 0.02, 0.02, 0.02])
    taken = compare({"slow": timed(lambda: time.sleep(next(slow, 0.02))), "quick": timed(lambda: None)}, seconds=0.05)
    assert taken["quick"] < taken["slow"] < 0.2


def test_chunks_are_alike_in_every_run_and_no_two_the_same():
    some = chunks(5)
    assert some.shape == (5, 66150)
    assert (some == chunks(5)).all()
    assert not any((some[0] == other).all() for other in some[1:])


def test_the_graph_is_timed_beside_librosa(tmp_path):
    output = tmp_path / "graph.json"
    command = [sys.executable, "-m", "benchmarks.graph", "--batches", "1", "--seconds", "0.1", "--output", str(output)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(output.read_text())
    one_core = result["ms_per_chunk"]["1 cores, batch 10"]
    assert {LIBROSA, TORCH, ORT} <= set(one_core)
    assert all(milliseconds > 0 for milliseconds in one_core.values())
    assert sum(result["operators"].values()) <= 1
    assert "times as fast as librosa" in ended.stdout
    assert result["machine"]["processor"]
    assert output.with_suffix(".png").stat().st_size > 10_000


@pytest.fixture
def baseline():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-m", "benchmarks.baseline", str(port)], cwd=ROOT) as process:
        for _ in range(600):
            try:
                httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def test_the_baseline_answers(baseline):
    buffer = io.BytesIO()
    sf.write(buffer, synthesise(), SAMPLE_RATE, format="FLAC")
    response = httpx.post(f"{baseline}/classify", files={"audio": ("a.flac", buffer.getvalue())}, timeout=60)
    assert response.status_code == 200
    assert sum(response.json()["probabilities"].values()) == pytest.approx(1, abs=1e-4)
