"""The notebook in docs/: it runs from top to bottom, what it computes is right, and its outputs are those of a run."""

import json
import re
from collections import Counter

import nbformat
import numpy as np
import pytest

from genre_classifier import Classifier
from genre_classifier.models import SAMPLE_CLIP
from tests.support.notebook import NOTEBOOK, read_notebook, run_notebook
from tests.support.songs import songs

NUMBER = re.compile(r"(\d+(?:\.\d+)?)(%?)")
TOLERANCE = {"%": 1, "": 0.011}  # of a number that is rounded to whole per cent or to two digits
KEEP = """
import json
from pathlib import Path

kept = {
    "probabilities": verdict.probabilities,
    "mesh": np.ma.getdata(mesh.get_array()).reshape(len(labels), -1).tolist(),
    "embedding": embedding.tolist(),
    "files": [path.relative_to(FOLDER).as_posix() for path in verdicts],
    "errors": [path.name for path in errors],
    "genres": table.genre.tolist(),
    "labels": table.label.tolist(),
    "confusion": confusion.to_dict("index"),
    "embeddings": embeddings.tolist(),
    "plane": plane.tolist(),
    "share": float(share),
    "neighbours": neighbours.tolist(),
}
_ = Path("kept.json").write_text(json.dumps(kept))  # shows nothing
"""


def run(folder, music=None):
    """The notebook as it ran in a folder, on `music` or on the sounds it makes, and what its variables held."""
    notebook = read_notebook()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if music:
        (cell,) = [cell for cell in code if cell.source.startswith("FOLDER = None")]
        cell.source = f"FOLDER = Path({str(music)!r})"
    code[-1].source += KEEP
    run_notebook(notebook, folder)
    return notebook, json.loads((folder / "kept.json").read_text())


@pytest.fixture(scope="module")
def classifier():
    with Classifier() as classifier:
        yield classifier


@pytest.fixture(scope="module")
def as_it_stands(tmp_path_factory):
    return run(tmp_path_factory.mktemp("notebook"))


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """A library with two labels, a folder within a folder, and a file that is no audio."""
    folder = tmp_path_factory.mktemp("music")
    for number, song in enumerate(songs(5, longest=8)):
        place = folder / ("jazz" if number % 2 else "mine/live")
        place.mkdir(parents=True, exist_ok=True)
        (place / song.name).write_bytes(song.content)
    (folder / "jazz" / "notes.txt").write_text("no audio")
    return folder


@pytest.fixture(scope="module")
def on_music(tmp_path_factory, music):
    return run(tmp_path_factory.mktemp("notebook"), music)


def test_the_sample_is_what_the_library_says(as_it_stands, classifier):
    _, kept = as_it_stands
    verdict = classifier.classify(SAMPLE_CLIP)
    assert kept["probabilities"] == pytest.approx(verdict.probabilities, abs=1e-4)
    assert kept["embedding"] == pytest.approx(classifier.embed(SAMPLE_CLIP), abs=1e-3)
    timeline = [[segment.probabilities[label] for segment in verdict.segments] for label in classifier.info.labels]
    assert np.array(kept["mesh"]) == pytest.approx(np.array(timeline), abs=1e-4)


def test_a_folder_of_ones_own_is_what_the_library_says(on_music, music, classifier):
    _, kept = on_music
    assert kept["errors"] == ["notes.txt"]
    files = sorted(path for path in music.rglob("*.*") if path.suffix != ".txt")
    assert [music / file for file in kept["files"]] == files
    assert kept["labels"] == [path.relative_to(music).parts[0] for path in files]
    assert kept["genres"] == [classifier.classify(path).genre for path in files]
    embeddings = np.stack([classifier.embed(path) for path in files])
    assert np.array(kept["embeddings"]) == pytest.approx(embeddings, abs=1e-3)


@pytest.mark.parametrize("ran", ["as_it_stands", "on_music"])
def test_the_confusion_counts_every_clip(ran, request):
    _, kept = request.getfixturevalue(ran)
    counted = Counter(zip(kept["labels"], kept["genres"], strict=True))
    shown = {(label, genre): n for label, row in kept["confusion"].items() for genre, n in row.items() if n}
    assert shown == counted


@pytest.mark.parametrize("ran", ["as_it_stands", "on_music"])
def test_the_map_has_the_axes_of_most_variance(ran, request):
    """By the eigenvectors of the covariance, another way to the same components; their signs are free."""
    _, kept = request.getfixturevalue(ran)
    embeddings, plane = np.array(kept["embeddings"]), np.array(kept["plane"])
    variances, axes = np.linalg.eigh(np.cov(embeddings.T))
    expected = (embeddings - embeddings.mean(axis=0)) @ axes[:, [-1, -2]]
    signs = np.sign((plane * expected).sum(axis=0))
    assert plane * signs == pytest.approx(expected, abs=1e-2)
    assert kept["share"] == pytest.approx(variances[-2:].sum() / variances.sum(), abs=1e-4)


@pytest.mark.parametrize("ran", ["as_it_stands", "on_music"])
def test_the_neighbours_are_the_nearest_by_cosine(ran, request):
    _, kept = request.getfixturevalue(ran)
    embeddings = np.array(kept["embeddings"])
    for clip, neighbour in enumerate(kept["neighbours"]):
        near = [
            embeddings[clip] @ other / np.linalg.norm(embeddings[clip]) / np.linalg.norm(other)
            for other in np.delete(embeddings, clip, axis=0)
        ]
        assert neighbour == np.delete(np.array(kept["labels"]), clip)[np.argmax(near)]


def test_the_share_that_is_right_is_of_labels_that_the_model_knows(on_music):
    notebook, kept = on_music
    genres = [genre for genre, label in zip(kept["genres"], kept["labels"], strict=True) if label == "jazz"]
    right = f"{np.mean([genre == 'jazz' for genre in genres]):.0%} of {len(genres)} clips are right\n"
    assert right in [output.text for cell in outputs(notebook) for output in cell if output.output_type == "stream"]


def test_a_folder_without_clips_is_told(tmp_path):
    with pytest.raises(Exception, match="holds no clips in folders, one for each label"):
        run(tmp_path, tmp_path)


def outputs(notebook):
    """The outputs of each cell of code, without what is said on standard error."""
    return [
        [output for output in cell.outputs if output.get("name") != "stderr"]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def texts(output):
    """The texts of an output by their kind."""
    if output.output_type == "stream":
        return {"stdout": output.text}
    return {kind: text for kind, text in output.data.items() if kind.startswith("text/")}


def assert_same_but_for_last_digits(committed, given):
    assert NUMBER.sub(r"number\2", committed) == NUMBER.sub(r"number\2", given)
    for (one, unit), (other, _) in zip(NUMBER.findall(committed), NUMBER.findall(given), strict=True):
        assert float(one) == pytest.approx(float(other), abs=TOLERANCE[unit])


def test_the_outputs_are_those_of_a_run(as_it_stands):
    """If not, `python -m tests.support.notebook` writes them anew."""
    notebook, _ = as_it_stands
    committed, given = outputs(read_notebook()), outputs(notebook)
    assert len(committed) == len(given) > 10
    for here, there in zip(committed, given, strict=True):
        assert [set(output.get("data", {})) for output in here] == [set(output.get("data", {})) for output in there]
        for one, other in zip(here, there, strict=True):
            assert texts(one).keys() == texts(other).keys()
            for kind, text in texts(one).items():
                assert_same_but_for_last_digits(text, texts(other)[kind])
    drawn = [output for cell in committed for output in cell if "image/png" in output.get("data", {})]
    assert len(drawn) == 2
    assert [cell.execution_count for cell in read_notebook().cells if cell.cell_type == "code"] == [
        *range(1, len(committed) + 1)
    ]


def test_it_is_small_and_says_nothing_of_the_machine():
    notebook = read_notebook()
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 300_000
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.language_info == {"name": "python"}
    assert not any(cell.metadata for cell in notebook.cells)
    assert not any(output.get("name") == "stderr" for cell in notebook.cells for output in cell.get("outputs", []))
    assert not re.search(r"(?<![\w.])/(?:tmp|home|root|work|usr|Users)/|file://|\d{4}-\d\d-\d\d", NOTEBOOK.read_text())


def test_wrong_outputs_are_noticed():
    assert_same_but_for_last_digits("jazz 0.63 66%\n", "jazz 0.64 65%\n")
    for other in ("jazz 0.66 66%\n", "jazz 0.63 64%\n", "rock 0.63 66%\n", "jazz 0.63\n"):
        with pytest.raises(AssertionError):
            assert_same_but_for_last_digits("jazz 0.63 66%\n", other)
