"""The public API as a specification: `from genre_classifier import Classifier`."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from genre_classifier import AudioError, Classifier, Verdict
from genre_classifier.session import ModelError
from tests.support import ROOT
from tests.support.audio import encode, music, tone
from tests.support.stand_in import write_stand_in


@pytest.fixture(scope="module")
def classifier(served_model):
    with Classifier(served_model, provider="cpu") as classifier:
        yield classifier


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "song.wav"
    path.write_bytes(encode(tone(7)))
    return path


def test_a_path_bytes_and_a_file_object_give_one_verdict(classifier, song):
    verdict = classifier.classify(song)
    assert isinstance(verdict, Verdict)
    assert verdict.genre in classifier.info.labels
    assert len(verdict.segments) == 3
    content = song.read_bytes()
    with song.open("rb") as file:
        for source in (str(song), content, io.BytesIO(content), file):
            assert classifier.classify(source).model_dump() == verdict.model_dump()


def test_the_verdict_has_the_fields_of_the_contract(classifier, song):
    verdict = classifier.classify(song, top_k=2, aggregate="mean")
    assert verdict.confidence == verdict.probabilities[verdict.genre]
    assert len(verdict.probabilities) == 2
    assert verdict.aggregate == "mean"
    assert verdict.segments[0].start == 0.0
    assert verdict.segments[-1].end == verdict.duration == 7.0
    assert json.loads(verdict.model_dump_json()) == verdict.model_dump(mode="json")


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_a_waveform_gives_what_the_same_audio_in_a_file_gives(classifier, rate, channels):
    waveform = music(rate, 4, channels).astype(np.float32)  # (samples, channels)
    of_file = classifier.classify(encode(waveform, rate, subtype="FLOAT"))
    assert classifier.classify(waveform.T, sample_rate=rate).model_dump() == of_file.model_dump()
    of_doubles = classifier.classify(waveform.T.astype(np.float64), rate)
    assert of_doubles.model_dump() == of_file.model_dump()
    if channels == 1:
        assert classifier.classify(waveform[:, 0], rate).model_dump() == of_file.model_dump()


def test_a_waveform_at_the_models_rate_is_not_resampled(classifier):
    waveform = music(44100, 4, 1).astype(np.float32)[:, 0]
    resampled = soxr.resample(waveform, 44100, 22050, "soxr_hq")
    one, other = classifier.classify(waveform, 44100), classifier.classify(resampled, 22050)
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.parametrize(
    ("waveform", "rate", "kind", "sentence"),
    [
        (np.zeros((100_000, 2), np.float32), 22050, "undecodable", "transpose"),
        (np.zeros((0, 100_000), np.float32), 22050, "undecodable", "channels"),
        (np.zeros((1, 2, 100_000), np.float32), 22050, "undecodable", "(channels, samples)"),
        (np.zeros(100_000, np.int16), 22050, "undecodable", "floats"),
        (np.zeros(100_000, np.float32), None, "undecodable", "sample_rate"),
        (np.zeros(100_000, np.float32), 0, "undecodable", "sample rate of 0 Hz"),
        (np.zeros(100_000, np.float32), 1_000_000, "undecodable", "outside"),
        (np.full(100_000, np.nan, np.float32), 22050, "undecodable", "NaN"),
        (np.full(100_000, 1e300), 22050, "undecodable", "not numbers"),
        (np.zeros(0, np.float32), 22050, "too_short", "0 seconds"),
        (np.ones(66_149, np.float32), 22050, "too_short", "2.9 seconds"),
        (np.zeros(100_000, np.float32), 22050, "silent", "silent"),
    ],
)
def test_a_waveform_that_cannot_be_is_refused_with_a_sentence(classifier, waveform, rate, kind, sentence):
    with pytest.raises(AudioError) as error:
        classifier.classify(waveform, sample_rate=rate)
    assert error.value.kind == kind
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_kinds_of_files_that_cannot_be_classified(classifier, tmp_path, served_model):
    (tmp_path / "text.mp3").write_text("not music")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "short.wav").write_bytes(encode(tone(2)))
    (tmp_path / "silent.wav").write_bytes(encode(tone(4) * 0))
    kinds = {"nothing.mp3": "missing", "text.mp3": "undecodable", "empty.wav": "undecodable"}
    kinds |= {"short.wav": "too_short", "silent.wav": "silent"}
    for name, kind in kinds.items():
        with pytest.raises(AudioError) as error:
            classifier.classify(tmp_path / name)
        assert error.value.kind == kind
    with pytest.raises(AudioError, match="no readable file"):
        classifier.classify(tmp_path)
    (tmp_path / "long.wav").write_bytes(encode(tone(7)))
    with Classifier(served_model, provider="cpu", max_seconds=5) as strict, pytest.raises(AudioError) as error:
        strict.classify(tmp_path / "long.wav")
    assert error.value.kind == "too_long"


def test_a_file_that_the_system_cannot_read_is_an_audio_error(classifier, song):
    class FailingDisk(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 1000:
                raise OSError(5, "Input/output error")
            return super().read(min(size, 500) if size > 0 else 500)

    with pytest.raises(AudioError, match="cannot be read: Input/output error"):
        classifier.classify(FailingDisk(song.read_bytes()))


def test_an_embedding_is_numbers_of_one_width(classifier, song):
    embedding = classifier.embed(song)
    assert embedding.dtype == np.float32
    assert embedding.ndim == 1
    waveform, rate = soundfile.read(song, dtype="float32")
    np.testing.assert_array_equal(classifier.embed(waveform, sample_rate=rate), embedding)


def test_files_come_in_order_with_errors_in_their_places(classifier, tmp_path, song):
    short = tmp_path / "short.wav"
    short.write_bytes(encode(tone(1)))
    paths = [str(song), short, "nowhere.mp3", song] * 6
    results = list(classifier.classify_files(paths))
    assert [path for path, _ in results] == paths
    alone = classifier.classify(song)
    for (path, result), wanted in zip(results, [alone, "too_short", "missing", alone] * 6, strict=True):
        if isinstance(wanted, str):
            assert isinstance(result, AudioError), path
            assert result.kind == wanted
        else:
            assert result.probabilities == pytest.approx(alone.probabilities, abs=1e-5)


@pytest.mark.parametrize(("files", "chunks", "batch_size"), [(20, 10, 16), (20, 10, 64), (200, 1, 64)])
def test_batches_are_filled_across_files(stand_in, run_sizes, files, chunks, batch_size):
    songs = [encode(tone(3 * chunks, 110 + 5 * number)) for number in range(files)]
    with Classifier(stand_in, provider="cpu", batch_size=batch_size) as classifier:
        verdicts = [verdict for _, verdict in classifier.classify_files(songs)]
    assert [len(verdict.segments) for verdict in verdicts] == [chunks] * files
    assert sum(run_sizes) == files * chunks
    assert max(run_sizes) <= batch_size
    assert len(run_sizes) <= -(-files * chunks // batch_size) + 2  # the last may be split
    assert np.median(run_sizes) == batch_size


def test_files_are_taken_as_they_are_needed(served_model, song):
    taken = []

    def paths():
        for number in range(1000):
            taken.append(number)
            yield song

    with Classifier(served_model, provider="cpu", batch_size=4) as classifier:
        results = classifier.classify_files(paths())
        next(results)
        results.close()
        assert len(taken) < 100
        assert isinstance(classifier.classify(song), Verdict)  # what was abandoned stands in nobody's way


def test_it_is_safe_in_several_threads(classifier, tmp_path):
    songs = {hertz: encode(tone(7, hertz)) for hertz in (110, 220, 440, 880)}
    alone = {hertz: classifier.classify(content) for hertz, content in songs.items()}
    together = threading.Barrier(4)

    def classify(hertz):
        together.wait()
        return [classifier.classify(songs[hertz]) for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        for hertz, verdicts in zip(songs, pool.map(classify, songs), strict=True):
            for verdict in verdicts:
                assert verdict.probabilities == pytest.approx(alone[hertz].probabilities, abs=1e-5)


def test_options_that_do_not_fit_are_refused_at_once(classifier, song):
    with pytest.raises(ValueError, match="top_k must be a whole number from 1 to"):
        classifier.classify(song, top_k=0)
    with pytest.raises(ValueError, match="aggregate must be"):
        classifier.classify_files([song], aggregate="median")


def test_closed_it_says_so(served_model, song):
    with Classifier(served_model, provider="cpu") as classifier:
        pass
    with pytest.raises(ValueError, match="closed"):
        classifier.classify(song)


def test_models_are_named_or_given_by_a_path(tmp_path, served_model):
    model = write_stand_in(tmp_path / "mine.onnx", tags=["loud", "sad"], familiarity=True)
    with Classifier(str(model), provider="cpu") as classifier:
        verdict = classifier.classify(encode(tone(4)))
    assert verdict.model.version == "stand-in"
    assert verdict.recognised is True
    assert set(verdict.tags) <= {"loud", "sad"}
    with pytest.raises(ModelError, match=r"There is no model file at .*nothing\.onnx"):
        Classifier(tmp_path / "nothing.onnx")


PROGRAM = """
import logging, os, signal, sys
before = dict(os.environ), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
import genre_classifier
assert "onnxruntime" not in sys.modules and "pydantic" not in sys.modules
from genre_classifier import Classifier
with Classifier(sys.argv[1], provider="cpu") as classifier:
    print(classifier.classify(sys.argv[2]).genre)
    for _, verdict in classifier.classify_files([sys.argv[2]] * 3):
        print(verdict.genre)
changed = {name for name in os.environ if before[0].get(name) != os.environ[name]}
assert changed <= {"ORT_DISABLE_TELEMETRY"}, changed
assert before[1:] == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
assert not logging.getLogger().handlers
heavy = {"torch", "librosa", "bentoml", "scipy", "numba", "onnx", "matplotlib", "train", "export", "serving"}
loaded = {name.partition(".")[0] for name in sys.modules}
assert not heavy & loaded, heavy & loaded
"""


def test_in_a_script_without_a_main_guard_it_is_quiet_and_light(tmp_path, served_model, song):
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    for name in ("audio", "train", "serving"):  # a user's own modules of the names that packages here have or had
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('this is the wrong module')")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GENRE_MODEL": "/nowhere", "GENRE_THREADS": "none"}
    command = [sys.executable, str(script), str(served_model), str(song)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(set(done.stdout.split())) == 1
    assert len(done.stdout.split()) == 4


def test_no_line_of_the_library_imports_what_it_must_not_need():
    forbidden = ("torch", "librosa", "bentoml", "serving", "train", "export", "scipy")
    files = list((ROOT / "genre_classifier").rglob("*.py"))
    assert len(files) > 10
    for file in files:
        for line in file.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                assert words[1].partition(".")[0] not in forbidden, (file, line)


def test_a_run_on_the_cpu_for_want_of_a_gpu_can_be_logged(served_model, caplog, monkeypatch):
    monkeypatch.setattr("genre_classifier.session.has_nvidia_driver", lambda: False)
    with caplog.at_level(logging.INFO, logger="genre_classifier"), Classifier(served_model):
        pass
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_public_names_are_importable_and_listed():
    import genre_classifier  # noqa: PLC0415

    assert set(dir(genre_classifier)) == {"AudioError", "Classifier", "Verdict", "__version__"}
    with pytest.raises(AttributeError, match="Judge"):
        genre_classifier.Judge  # noqa: B018
    assert Path(genre_classifier.__file__).parent == ROOT / "genre_classifier"
