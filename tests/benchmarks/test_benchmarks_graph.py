"""Small runs of `python -m benchmarks.graph`, and the librosa server."""

import io
import json
import os
import shutil
import subprocess
import sys
from functools import partial

import httpx
import pytest
import soundfile as sf

from benchmarks.baseline_server import BaselineServer
from benchmarks.contenders import LIBROSA, ORT, TORCH, chunks
from benchmarks.timing import compare, timed
from genre_classifier.audio import SAMPLE_RATE
from genre_classifier.audio.sample import synthesise
from tests.support import ROOT


def test_contenders_take_turns_and_their_medians_count():
    turns = []

    def contender(name, *seconds):
        rest = iter(seconds)

        def take_turn():
            turns.append(name)
            return next(rest)

        return take_turn

    taken = compare({"a": contender("a", 99, 1, 7, 2), "b": contender("b", 0, 5, 4, 3)}, seconds=0)
    assert taken == {"a": 2, "b": 4}  # the first turn does not count
    assert turns == ["a", "b"] * 4


def test_what_is_timed_is_done_at_every_turn():
    done = []
    turn = timed(lambda: done.append(1))
    assert turn() > 0
    assert turn() > 0
    assert len(done) == 2


def test_chunks_are_alike_in_every_run_and_no_two_the_same():
    some = chunks(5)
    assert some.shape == (5, 66150)
    assert (some == chunks(5)).all()
    assert not any((some[0] == other).all() for other in some[1:])


@pytest.mark.slow
def test_the_graph_is_timed_beside_librosa(tmp_path):
    output = tmp_path / "graph.json"
    other = shutil.copy(ROOT / "artifacts" / "genre.onnx", tmp_path / "other.onnx")
    options = ["--model", "artifacts/genre.onnx", other, "--batches", "1", "--seconds", "0.1", "--output", str(output)]
    command = [sys.executable, "-m", "benchmarks.graph", *options]
    one_of_the_cores = partial(os.sched_setaffinity, 0, {min(os.sched_getaffinity(0))})  # with all, twice the time
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=one_of_the_cores)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(output.read_text())
    one_core = result["ms_per_chunk"]["1 cores, batch 10"]
    assert {LIBROSA, TORCH, ORT, f"{ORT}, other"} <= set(one_core)
    assert all(milliseconds > 0 for milliseconds in one_core.values())
    assert result["models"] == ["genre.onnx", "other.onnx"]
    assert "MatMul" in result["operators"]
    assert "times as fast as librosa" in ended.stdout
    assert result["machine"]["processor"]
    assert output.with_suffix(".png").stat().st_size > 10_000


def test_the_baseline_answers():
    buffer = io.BytesIO()
    sf.write(buffer, synthesise(), SAMPLE_RATE, format="FLAC")
    with BaselineServer() as baseline:
        baseline.wait()
        answer = httpx.post(f"{baseline.url}/classify", files={"audio": ("a.flac", buffer.getvalue())}, timeout=60)
    assert answer.status_code == 200
    assert sum(answer.json()["probabilities"].values()) == pytest.approx(1, abs=1e-4)
