"""The session: what it reads from the graph, and what it refuses."""

import json
import sys

import numpy as np
import onnxruntime
import pytest

from genre_classifier.audio import CHUNK_SAMPLES
from genre_classifier.session import GenreSession, ModelError
from serving.settings import ServiceSettings
from serving.warmup import open_checked_session
from tests.support.audio import tone
from tests.support.stand_in import LABELS, write_stand_in


def test_it_reads_everything_from_the_graph(stand_in):
    info = GenreSession(stand_in, provider="cpu").info
    assert info.labels == tuple(LABELS)
    assert (info.sample_rate, info.chunk_samples, info.version) == (22050, CHUNK_SAMPLES, "stand-in")
    assert info.uncertain_below == 0.4
    assert info.metrics == {"test": {"track_accuracy": 0.1}}
    assert info.provider == "CPUExecutionProvider"


def test_rows_do_not_depend_on_their_batch(served_model):
    session = GenreSession(served_model, provider="cpu")
    chunks = np.stack([tone(3, hertz) for hertz in (110, 220, 440, 880, 1760)])
    log_probs, embedding, *_ = session.run(chunks)
    assert log_probs.shape == (5, len(session.info.labels))
    assert len(embedding) == 5
    for row, chunk in enumerate(chunks):
        alone = session.run(chunk[None]).log_probs
        np.testing.assert_allclose(np.exp(alone[0]), np.exp(log_probs[row]), atol=1e-4)


def test_no_file_and_no_graph_are_one_sentence(tmp_path):
    with pytest.raises(ModelError, match=r"There is no model file at .*nothing\.onnx: .*\.$"):
        GenreSession(tmp_path / "nothing.onnx", provider="cpu")
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"bad\.onnx is not a model that ONNX Runtime can load: [^\n]*\.$"):
        GenreSession(tmp_path / "bad.onnx", provider="cpu")


@pytest.mark.parametrize("key", ["labels", "sample_rate", "chunk_samples", "version", "uncertain_below"])
def test_metadata_that_is_missing_is_named(tmp_path, key):
    model = write_stand_in(tmp_path / "model.onnx", metadata={key: None})
    with pytest.raises(ModelError, match=key):
        GenreSession(model, provider="cpu")


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"sample_rate": "16000"}, "its sample_rate is 16000 and must be 22050"),
        ({"chunk_samples": "22050"}, "its chunk_samples is 22050 and must be 66150"),
        ({"labels": json.dumps(LABELS[:9])}, "names 9 labels for an output log_probs of 10"),
        ({"labels": json.dumps([*LABELS[:9], "blues"])}, "its labels name one twice"),
        ({"labels": "[]"}, "it names no labels"),
        ({"labels": "blues"}, "metadata that is not JSON"),
        ({"labels": '"blues"'}, "no usable metadata labels"),
        ({"uncertain_below": "half"}, "no usable metadata uncertain_below"),
        ({"uncertain_below": "nan"}, "its uncertain_below is not a finite number"),
        ({"recognised_above": "inf"}, "its recognised_above is not a finite number"),
        ({"temperature": "inf"}, "its temperature is not a finite number"),
        ({"tags": '["loud"]'}, "names 1 tags for an output tags of 2"),
        ({"tags": '["loud", "loud"]'}, "its tags name one twice"),
        ({"recognised_above": None}, "only one of the output familiarity and recognised_above"),
    ],
)
def test_metadata_that_does_not_fit_is_refused_with_a_sentence(tmp_path, metadata, sentence):
    path = tmp_path / "model.onnx"
    model = write_stand_in(path, tags=["loud", "sad"], familiarity=True, metadata=metadata)
    with pytest.raises(ModelError) as error:
        GenreSession(model, provider="cpu")
    assert sentence in str(error.value)
    assert str(error.value).endswith("write it with python -m export.")


def test_tags_and_familiarity_are_outputs_where_the_graph_has_them(tmp_path):
    chunks = np.stack([tone(3), tone(3, 220)])
    for tags, familiarity in ((["loud", "sad"], True), ([], False)):
        model = write_stand_in(tmp_path / "model.onnx", tags=tags, familiarity=familiarity)
        session = GenreSession(model, provider="cpu")
        outputs = session.run(chunks)
        assert session.info.tags == tuple(tags)
        assert (outputs.tags is not None) == bool(tags)
        assert (outputs.familiarity is not None) == familiarity
        if tags:
            assert outputs.tags.shape == (2, 2)
            assert outputs.familiarity.shape == (2,)


def test_without_onnx_runtime_one_sentence_says_which_extra_to_take(stand_in, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for driver, extra in ((True, "gpu"), (False, "cpu")):
        monkeypatch.setattr("genre_classifier.session.has_nvidia_driver", lambda driver=driver: driver)
        with pytest.raises(ModelError, match=rf'^ONNX Runtime is missing: .*"genre-classifier\[{extra}\]"\.$'):
            GenreSession(stand_in)


def test_a_graph_that_gives_no_probabilities_does_not_start(tmp_path):
    model = write_stand_in(tmp_path / "model.onnx", scale=np.nan)
    with pytest.raises(ModelError, match="not a probability"):
        open_checked_session(ServiceSettings(model=str(model)), "cpu")


def test_the_check_needs_no_sample_clip(stand_in, monkeypatch, tmp_path):
    monkeypatch.setattr("serving.warmup.SAMPLE_CLIP", tmp_path / "left_out.mp3")
    assert open_checked_session(ServiceSettings(model=str(stand_in)), "cpu").info.version == "stand-in"


def test_a_missing_gpu_is_an_error_only_if_it_was_asked_for(stand_in, monkeypatch, caplog):
    caplog.set_level("INFO", logger="genre_classifier")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert GenreSession(stand_in, provider="auto").info.provider == "CPUExecutionProvider"
    assert len(caplog.messages) == 1
    assert "CPU" in caplog.messages[0]
    with pytest.raises(ModelError, match="The provider is to be cuda, but CUDA does not work"):
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
            self.get_outputs = self.session.get_outputs

        def get_providers(self):
            return [each[0] if isinstance(each, tuple) else each for each in asked[-1]]

        def run(self, names, inputs):
            rows.append(len(inputs["waveform"]))
            return self.session.run(names, inputs)

    monkeypatch.setattr("genre_classifier.session.has_nvidia_driver", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Pretended)
    return asked, rows


def test_a_gpu_is_used_within_its_limits_and_warm_before_it_is_ready(stand_in, pretended_gpu):
    asked, rows = pretended_gpu
    session = open_checked_session(ServiceSettings(model=str(stand_in), gpu_memory_mb=300, max_batch_size=24), "auto")
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
    assert open_checked_session(ServiceSettings(model=str(stand_in)), "auto").info.provider == "CPUExecutionProvider"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "unknown error" in caplog.text
    with pytest.raises(ModelError, match="CUDA failure 999"):
        open_checked_session(ServiceSettings(model=str(stand_in)), "cuda")


@pytest.mark.gpu
def test_cuda_gives_what_the_cpu_gives(served_model):
    chunks = np.stack([tone(3, hertz) for hertz in (110, 220, 440, 880, 1760)])
    try:
        cuda = GenreSession(served_model, provider="cuda")
    except ModelError as error:
        pytest.skip(str(error))
    assert cuda.info.provider == "CUDAExecutionProvider"
    expected = GenreSession(served_model, provider="cpu").run(chunks)
    np.testing.assert_allclose(np.exp(cuda.run(chunks).log_probs), np.exp(expected.log_probs), atol=1e-3)
