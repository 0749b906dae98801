"""The session: what it reads from the graph, and what it refuses."""

import numpy as np
import onnxruntime
import pytest
from serving_stand_in import CHUNK, LABELS, tone, write_stand_in

from serving.session import GenreSession, ModelError
from serving.settings import Settings, read_settings
from serving.startup import checked_session


def test_it_reads_everything_from_the_graph(stand_in):
    info = GenreSession(stand_in, provider="cpu").info
    assert info.labels == tuple(LABELS)
    assert (info.sample_rate, info.chunk_samples, info.version) == (22050, CHUNK, "stand-in")
    assert info.uncertain_below == 0.4
    assert info.metrics == {"test": {"track_accuracy": 0.1}}
    assert info.provider == "CPUExecutionProvider"


def test_rows_do_not_depend_on_their_batch(served_model):
    session = GenreSession(served_model, provider="cpu")
    chunks = np.stack([tone(3, hertz) for hertz in (110, 220, 440, 880, 1760)])
    log_probs, embedding = session.run(chunks)
    assert log_probs.shape == (5, len(session.info.labels))
    assert embedding.shape == (5, 128)
    for row, chunk in enumerate(chunks):
        alone, _ = session.run(chunk[None])
        np.testing.assert_allclose(np.exp(alone[0]), np.exp(log_probs[row]), atol=1e-4)


def test_no_file_and_no_graph_are_one_sentence(tmp_path):
    with pytest.raises(ModelError, match=r"There is no model file at .*nothing\.onnx: .*\.$"):
        GenreSession(tmp_path / "nothing.onnx", provider="cpu")
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"bad\.onnx is not a model ONNX Runtime can load: [^\n]*\.$"):
        GenreSession(tmp_path / "bad.onnx", provider="cpu")


@pytest.mark.parametrize("key", ["labels", "sample_rate", "chunk_samples", "version", "uncertain_below"])
def test_metadata_that_is_missing_is_named(tmp_path, key):
    model = write_stand_in(tmp_path / "model.onnx", drop={key})
    with pytest.raises(ModelError, match=key):
        GenreSession(model, provider="cpu")


def test_a_graph_that_gives_no_probabilities_does_not_start(tmp_path):
    model = write_stand_in(tmp_path / "model.onnx", scale=np.nan)
    with pytest.raises(ModelError, match="not a probability"):
        checked_session(Settings(model=model), "cpu")
    model = write_stand_in(tmp_path / "model.onnx", labels=LABELS[:9], told=LABELS)
    with pytest.raises(ModelError, match="not a probability"):
        checked_session(Settings(model=model), "cpu")


def test_the_check_needs_no_sample_clip(stand_in, monkeypatch, tmp_path):
    monkeypatch.setattr("serving.startup.SAMPLE_CLIP", tmp_path / "left_out.mp3")
    assert checked_session(Settings(model=stand_in), "cpu").info.version == "stand-in"


def test_a_missing_gpu_is_an_error_only_if_it_was_asked_for(stand_in, monkeypatch, caplog):
    caplog.set_level("INFO", logger="bentoml.genre")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert GenreSession(stand_in, provider="auto").info.provider == "CPUExecutionProvider"
    assert len(caplog.messages) == 1
    assert "CPU" in caplog.messages[0]
    with pytest.raises(ModelError, match="GENRE_PROVIDER is cuda, but CUDA does not work"):
        GenreSession(stand_in, provider="cuda")


@pytest.fixture
def pretended_gpu(monkeypatch):
    """A driver, and sessions on the CPU that say they are on CUDA; the providers asked for, and the rows of runs."""
    real = onnxruntime.InferenceSession
    asked, rows = [], []

    class Pretended:
        def __init__(self, model, options, providers):
            asked.append(providers)
            self.session = real(model, options, providers=["CPUExecutionProvider"])
            self.get_modelmeta = self.session.get_modelmeta

        def get_providers(self):
            return [each[0] if isinstance(each, tuple) else each for each in asked[-1]]

        def run(self, names, inputs):
            rows.append(len(inputs["waveform"]))
            return self.session.run(names, inputs)

    monkeypatch.setattr("serving.session.has_nvidia_driver", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Pretended)
    return asked, rows


def test_a_gpu_is_used_within_its_limits_and_warm_before_it_is_ready(stand_in, pretended_gpu):
    asked, rows = pretended_gpu
    session = checked_session(Settings(model=stand_in, gpu_memory_mb=300, max_batch_size=24), "auto")
    assert session.info.provider == "CUDAExecutionProvider"
    ((provider, options), fallback) = asked[0]
    assert (provider, fallback) == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert options["gpu_mem_limit"] == str(300 * 2**20)
    assert (options["use_tf32"], options["cudnn_conv_algo_search"]) == ("0", "HEURISTIC")
    assert rows[1:] == [1, 2, 4, 8, 16, 24]


def test_a_gpu_that_fails_at_start_is_one_line_and_the_cpu(stand_in, pretended_gpu, monkeypatch, caplog):
    pretended = onnxruntime.InferenceSession

    class Failing(pretended):
        def __init__(self, model, options, providers):
            if isinstance(providers[0], tuple):
                raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : CUDA failure 999: unknown error\nand more")  # noqa: TRY004
            super().__init__(model, options, providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Failing)
    assert checked_session(Settings(model=stand_in), "auto").info.provider == "CPUExecutionProvider"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "unknown error" in caplog.text
    with pytest.raises(ModelError, match="CUDA failure 999"):
        checked_session(Settings(model=stand_in), "cuda")


@pytest.mark.gpu
def test_cuda_gives_what_the_cpu_gives(served_model):
    chunks = np.stack([tone(3, hertz) for hertz in (110, 220, 440, 880, 1760)])
    try:
        cuda = GenreSession(served_model, provider="cuda")
    except ModelError as error:
        pytest.skip(str(error))
    assert cuda.info.provider == "CUDAExecutionProvider"
    expected, _ = GenreSession(served_model, provider="cpu").run(chunks)
    np.testing.assert_allclose(np.exp(cuda.run(chunks)[0]), np.exp(expected), atol=1e-3)


def test_a_setting_that_cannot_be_is_named(monkeypatch):
    monkeypatch.setenv("GENRE_WORKERS", "0")
    with pytest.raises(SystemExit, match="GENRE_WORKERS='0' will not do"):
        read_settings()


@pytest.mark.parametrize("setting", ["MAX_SECONDS=inf", "TIMEOUT=inf", "TIMEOUT=0.0005", "UPLOAD_TIMEOUT=nan"])
def test_a_time_that_cannot_be_is_named(monkeypatch, setting):
    name, _, value = setting.partition("=")
    monkeypatch.setenv(f"GENRE_{name}", value)
    with pytest.raises(SystemExit, match=f"GENRE_{name}='{value}' will not do"):
        read_settings()
