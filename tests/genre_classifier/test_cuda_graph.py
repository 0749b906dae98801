"""Recorded runs: on a CPU all but the recording itself, and the recording through a CUDA runtime that does nothing."""

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from benchmarks.roofline import CALLS
from genre_classifier import cuda_graph
from genre_classifier.cuda_graph import RecordedRuns, batch_sizes, why_not
from genre_classifier.models import find_model
from genre_classifier.session import GenreSession, default_gpu_memory_mb
from tests.support import ROOT, cuda_stub
from tests.support.audio import tone

OUTPUTS = ["log_probs", "embedding"]
CHUNKS = np.stack([tone(3, hertz) for hertz in range(100, 3000, 100)])
LARGEST = 12


@pytest.fixture(scope="module")
def session(stand_in):
    return onnxruntime.InferenceSession(stand_in, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def expected(session):
    return session.run(OUTPUTS, {"waveform": CHUNKS})


def recorded(session, log=None):
    """Recorded runs, but on the CPU; the sizes that are run go to the log."""

    def run(binding, options):
        if log is not None:
            log.append(int(options.get_run_config_entry("gpu_graph_id")))
        session.run_with_iobinding(binding, options)

    outer = SimpleNamespace(run_with_iobinding=run, io_binding=session.io_binding, get_outputs=session.get_outputs)
    return RecordedRuns(outer, OUTPUTS, LARGEST, "cpu")


@pytest.mark.parametrize(
    ("rows", "sizes"), [(1, [1]), (2, [2]), (3, [4]), (8, [8]), (9, [12]), (12, [12]), (29, [12, 12, 8])]
)
def test_a_batch_is_padded_to_the_next_size_and_answered_without_the_padding(session, expected, rows, sizes):
    log = []
    runs = recorded(session, log)
    assert log == batch_sizes(LARGEST) == [1, 2, 4, 8, 12]  # recorded before anyone asks
    log.clear()
    runs.run(CHUNKS[::-1][:LARGEST])  # what is left of another batch does not matter
    log.clear()
    given = runs.run(CHUNKS[:rows])
    assert log == sizes
    for ours, theirs in zip(given, expected, strict=True):
        np.testing.assert_allclose(ours, theirs[:rows], atol=1e-5)


def test_answers_stay_when_others_follow(session, expected):
    runs = recorded(session)
    first = runs.run(CHUNKS[:3])
    runs.run(CHUNKS[3:6])
    np.testing.assert_allclose(first[0], expected[0][:3], atol=1e-5)


def test_each_of_many_threads_gets_its_own_answers(session, expected):
    runs = recorded(session)
    parts = [slice(start, start + count) for count in (1, 3, 5) for start in range(20)]
    with ThreadPoolExecutor(8) as pool:
        for part, given in zip(parts, pool.map(lambda part: runs.run(CHUNKS[part]), parts), strict=True):
            np.testing.assert_allclose(given[0], expected[0][part], atol=1e-5)


def test_the_model_that_ships_answers_the_same_when_padded():
    session = onnxruntime.InferenceSession(find_model("genre"), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    expected = session.run(names, {"waveform": CHUNKS[:3]})
    for ours, theirs in zip(RecordedRuns(session, names, 4, "cpu").run(CHUNKS[:3]), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def fake(*operators):
    """A session of which only the operators are known."""
    nodes = [SimpleNamespace(op_type=operator) for operator in operators]
    return SimpleNamespace(get_provider_graph_assignment_info=lambda: [SimpleNamespace(get_nodes=lambda: nodes)])


def test_what_cannot_be_recorded_is_one_sentence():
    assert why_not(fake("Conv", "MatMul"), "1.30.0") == ""
    assert why_not(fake("Conv"), "1.29.0") == "it needs onnxruntime-gpu 1.30 or newer, and this is 1.29.0"
    assert why_not(fake("Conv", "NonZero"), "1.31.1") == "the model has NonZero, whose result the host must read"


@pytest.fixture
def on_cuda(monkeypatch):
    """Sessions on the CPU that say they are on CUDA; the options of each."""
    real, asked = onnxruntime.InferenceSession, []

    def pretended(model, options, providers):
        asked.append(providers[0][1] if isinstance(providers[0], tuple) else {})
        session = real(model, options, providers=["CPUExecutionProvider"])
        session.get_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
        return session

    monkeypatch.setattr("genre_classifier.session.has_nvidia_driver", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", pretended)
    return asked


def test_a_session_replays_where_it_is_asked_to(stand_in, on_cuda, monkeypatch, expected):
    monkeypatch.setattr("genre_classifier.session.RecordedRuns", partial(RecordedRuns, device="cpu"))
    for replays in (False, True):
        on_cuda.clear()
        session = GenreSession(stand_in, provider="cuda", largest_batch=8, cuda_graph=replays)
        assert [each.get("enable_cuda_graph") for each in on_cuda] == [None, "1"][: 1 + replays]
        assert {each["gpu_mem_limit"] for each in on_cuda} == {str(default_gpu_memory_mb(8) * 2**20)}
        monkeypatch.setattr(session, "_session", None if replays else session._session)  # noqa: SLF001
        np.testing.assert_allclose(session.run(CHUNKS[:3]).log_probs, expected[0][:3], atol=1e-5)


def test_a_failed_recording_is_a_warning_and_the_session_answers_without(stand_in, on_cuda, caplog, expected):
    caplog.set_level(logging.WARNING, logger="genre_classifier")
    session = GenreSession(
        stand_in, provider="cuda", largest_batch=8, cuda_graph=True
    )  # this machine's memory is no GPU's
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("No CUDA graph, ")
    assert caplog.messages[0].endswith(": each run launches its kernels one by one.")
    np.testing.assert_allclose(session.run(CHUNKS[:3]).log_probs, expected[0][:3], atol=1e-5)


def test_pinned_memory_is_let_go_before_it_is_freed(monkeypatch):
    calls = []
    library = SimpleNamespace(
        cudaHostRegister=lambda address, size, _: calls.append(("register", address.value, size.value)) or 0,
        cudaHostUnregister=lambda address: calls.append(("unregister", address.value)),
    )
    monkeypatch.setattr(cuda_graph.ctypes, "CDLL", lambda _: library)
    pinned = cuda_graph._pinned(2)  # noqa: SLF001
    address = pinned.ctypes.data
    assert calls == [("register", address, 2 * 66150 * 4)]
    del pinned
    assert calls[1:] == [("unregister", address)]


def test_without_a_gpu_nothing_is_recorded(stand_in, caplog):
    caplog.set_level(logging.WARNING, logger="genre_classifier")
    session = GenreSession(stand_in, provider="cpu", cuda_graph=True)
    assert session.run(CHUNKS[:2]).log_probs.shape == (2, 10)
    assert caplog.messages == []


@pytest.mark.skipif(bool(cuda_stub.missing()), reason=cuda_stub.missing())
def test_the_graph_that_ships_is_one_launch_and_the_other_says_why_not(cuda_libraries):
    """Seen through a CUDA runtime that does nothing: what is called is real, numbers and speed are not."""
    genre, cnn = cuda_stub.run(cuda_libraries, "looked", find_model("genre"), find_model("cnn"))
    assert genre["said"] == []
    for rows, eager in genre["eager"].items():
        assert (eager["replays"], eager["pageable"]) == (0, 1)
        assert 50 < eager["launches"] <= 170
        again = genre["recorded"][rows]
        assert (again["replays"], again["launches"], again["products"], again["cudnn_calls"]) == (1, 0, 0, 0)
        assert (again["to_device"], again["pageable"], again["to_host"]) == (1, 0, 4)  # the input, and the outputs
    assert sum(each["violations"] for each in genre["recorded"].values()) == genre["violations"] == 0
    manual = (ROOT / "docs" / "features.md").read_text()
    for name, looked in (("genre", genre), ("cnn", cnn)):
        calls = [looked["eager"]["64"][kind] for kind in ("launches", "products", "cudnn_calls")]
        assert sum(calls) == CALLS[name]  # on which the prediction of benchmarks/roofline.py counts
        assert f"| {', '.join(map(str, calls))} |" in manual
    assert genre["stale"] == 0  # what recorded copies read is still there, after runs of other sizes
    (sentence,) = cnn["said"]
    assert sentence.startswith("No CUDA graph, the model has NonZero, whose result the host must read: ")
    assert all(each["replays"] == 0 and each["launches"] > 500 for each in cnn["recorded"].values())
    limit = default_gpu_memory_mb(64) * 2**20
    assert all(each["arena"] < limit for each in (genre, cnn))
