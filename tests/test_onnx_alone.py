"""The ONNX file alone, as the documents say to use it: what their programs compute is what Classifier answers."""

import json
import re

import numpy as np
import onnxruntime
import pytest
import soundfile

from genre_classifier import Classifier
from genre_classifier.audio.sample import synthesise
from genre_classifier.models import MODELS
from tests.support import ROOT

CHUNK, SECOND = 66_150, 22_050
MUSIC = np.tile(synthesise(), 4)  # 36 seconds
SONGS = {
    "one chunk": MUSIC[:CHUNK],
    "a rest too short": MUSIC[: CHUNK + SECOND - 1],
    "a rest just long enough": MUSIC[: CHUNK + SECOND],
    "ten chunks and a rest": MUSIC[: 10 * CHUNK + 60_000],
    "silence in the middle": np.concatenate(
        [MUSIC[:CHUNK], np.full(2 * CHUNK, 0.0009, np.float32), MUSIC[CHUNK : 2 * CHUNK]]
    ),
    "a peak of -60 dBFS": np.concatenate([MUSIC[:CHUNK], np.full(CHUNK, 0.001, np.float32)]),
    "beyond full scale": 3 * MUSIC[: 2 * CHUNK],
}


def program(document):
    """The program of a document that runs the model file."""
    found = re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)
    (text,) = [each for each in found if "onnxruntime" in each]
    return text


@pytest.fixture(scope="module")
def classifier():
    with Classifier(provider="cpu") as classifier:
        yield classifier


@pytest.fixture(params=SONGS)
def song(request):
    return SONGS[request.param].astype(np.float32)


def computed(document, song, folder, monkeypatch):
    """The variables of a document's program, once it has run on a song in the place of the sample."""
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "genre.onnx").symlink_to(MODELS["genre"])
    soundfile.write(folder / "artifacts" / "song.wav", song, SECOND, subtype="FLOAT")
    monkeypatch.chdir(folder)
    variables = {}
    exec(program(document).replace("sample.mp3", "song.wav"), variables)
    return variables


def assert_same(variables, mean, classifier, song):
    verdict = classifier.classify(song, sample_rate=SECOND)
    labels = classifier.info.labels
    assert mean == pytest.approx([verdict.probabilities[label] for label in labels], abs=1e-5)
    assert variables["embedding"].mean(axis=0) == pytest.approx(classifier.embed(song, sample_rate=SECOND), abs=1e-4)
    assert len(variables["starts"]) == len(verdict.segments)
    assert [start / SECOND for start in variables["starts"]] == pytest.approx(
        [segment.start for segment in verdict.segments], abs=1e-3
    )
    assert len(variables["log_probs"]) == sum(segment.genre is not None for segment in verdict.segments)
    return verdict


def test_the_readmes_program_computes_what_classifier_does(classifier, song, tmp_path, monkeypatch):
    variables = computed("README.md", song, tmp_path, monkeypatch)
    assert_same(variables, np.exp(variables["log_probs"]).mean(axis=0), classifier, song)


def test_the_manuals_program_decides_what_classifier_does(classifier, song, tmp_path, monkeypatch):
    variables = computed("docs/python.md", song, tmp_path, monkeypatch)
    verdict = assert_same(variables, variables["probabilities"], classifier, song)
    assert variables["labels"][variables["genre"]] == verdict.genre
    assert variables["recognised"] == verdict.recognised
    votes = dict(zip(variables["labels"], variables["votes"].tolist(), strict=True))
    assert {label: count for label, count in votes.items() if count} == verdict.votes
    tags = dict(zip(json.loads(variables["metadata"]["tags"]), variables["tags"].mean(axis=0), strict=True))
    assert {tag: tags[tag] for tag in verdict.tags} == pytest.approx(verdict.tags, abs=1e-5)


@pytest.mark.parametrize("document", ["README.md", "docs/python.md"])
def test_a_song_at_once_ends_in_the_message_that_is_named(document):
    (message,) = re.findall(r"`(Got: \d+ Expected: \d+)`", (ROOT / document).read_text())
    session = onnxruntime.InferenceSession(MODELS["genre"], providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match=re.escape(message)):
        session.run(None, {"waveform": MUSIC[None, : 30 * SECOND]})


def test_the_outputs_are_those_of_the_file():
    session = onnxruntime.InferenceSession(MODELS["genre"], providers=["CPUExecutionProvider"])
    text = (ROOT / "docs" / "python.md").read_text().partition("## The ONNX file alone")[2]
    shown = dict(re.findall(r"^\| `(\w+)` \| `\(([\w, ]+?),?\)` \|", text, re.MULTILINE))
    assert shown == {output.name: ", ".join(map(str, output.shape)) for output in session.get_outputs()}
