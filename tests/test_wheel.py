"""The wheel, as a user has it: built, installed with its dependencies into an empty environment, and used there."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from genre_classifier import Classifier, __version__
from tests.support import ROOT
from tests.support.repository import copy_sources, repository_files

SAMPLE = ROOT / "artifacts" / "sample.mp3"
DATA_FILES = re.compile(r"artifacts/([\w-]+\.onnx|CARD\.md|sample\.mp3)")
SERVICE_AND_TRAINING = {"bentoml", "kantoku", "librosa", "starlette", "torch", "uvicorn"}
MODULES_OF_THE_USER = ("artifacts", "audio", "batch", "benchmarks", "export", "serving", "tests", "train")
MAX_BYTES_BESIDE_NUMPY = 250e6


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, which `python -m build` makes from the sdist that it makes first."""
    folder = tmp_path_factory.mktemp("build")
    source = copy_sources(folder / "source")
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source], check=True)
    names = {path.name for path in (folder / "dist").iterdir()}
    assert names == {f"genre_classifier-{__version__}-py3-none-any.whl", f"genre_classifier-{__version__}.tar.gz"}
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of an environment that has the wheel with its extra [cpu], in the locked versions."""
    folder = tmp_path_factory.mktemp("environment")
    locked = re.findall(r"^[^ #]+==[^ ]+", (ROOT / "requirements" / "cpu.txt").read_text(), re.MULTILINE)
    (folder / "versions.txt").write_text("\n".join(locked))
    return install(folder / "venv", "--constraint", folder / "versions.txt", f"{wheel}[cpu]")


@pytest.fixture
def workplace(tmp_path):
    """A user's folder: a song, and modules by the names of this repository's folders, none of which may be imported."""
    for name in MODULES_OF_THE_USER:
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('this {name} is the user\\'s')")
    shutil.copy(SAMPLE, tmp_path / "song.mp3")
    return tmp_path


@pytest.fixture(scope="module")
def expected():
    """What the clone says of the song."""
    with Classifier(provider="cpu") as classifier:
        return classifier.classify(SAMPLE).model_dump(mode="json")


def install(folder, *arguments):
    """Make an environment, install into it with this one's pip, and return its interpreter."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python]
    subprocess.run([*pip, "install", *arguments], check=True, env=clean_environment())
    return python


def clean_environment():
    ours = ("GENRE_", "MAKE", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def run(*command, cwd, **variables):
    environment = {**clean_environment(), **variables}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def run_script(python, text, cwd, **variables):
    """Run a program that lies in the folder, as a user would; what it prints, read as JSON."""
    (cwd / "program.py").write_text(text)
    done = run(python, "program.py", cwd=cwd, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def artifacts_of(python, cwd, **variables):
    """Where an interpreter finds the models and the sample, which must be there."""
    program = """
import json
from genre_classifier import models
assert models.SAMPLE_CLIP.is_file() and models.find_model(models.DEFAULT_MODEL).is_file()
print(json.dumps(str(models.ARTIFACTS)))
"""
    done = run(python, "-c", program, cwd=cwd, **variables)
    assert done.returncode == 0, done.stderr
    return Path(json.loads(done.stdout))


def site_packages(python):
    (folder,) = python.parents[1].glob("lib/python*/site-packages")
    return folder


def test_it_holds_one_import_name_and_the_artifacts_inside(wheel):
    files = repository_files("genre_classifier", "artifacts")
    expected = {f"genre_classifier/{name}": name for name in files if DATA_FILES.fullmatch(name)}
    expected |= {name: name for name in files if name.startswith("genre_classifier/")}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert names == expected.keys()
        assert all(archive.read(name) == (ROOT / expected[name]).read_bytes() for name in names)
        licences = [name for name in archive.namelist() if "/licenses/" in name]
    assert licences == [f"genre_classifier-{__version__}.dist-info/licenses/LICENSE"]
    assert {"genre_classifier/artifacts/genre.onnx", "genre_classifier/artifacts/CARD.md"} <= names


def test_it_says_what_it_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"genre_classifier-{__version__}.dist-info/METADATA").decode())
    needed = {}
    for requirement in map(Requirement, metadata.get_all("Requires-Dist")):
        extras = re.findall(r"extra == \"(\w+)\"", str(requirement.marker or ""))
        needed.setdefault(extras[0] if extras else None, {})[requirement.name] = requirement.specifier
    assert needed[None].keys() == {"av", "numpy", "pydantic", "pydantic-settings", "soundfile", "soxr", "tqdm"}
    assert needed["cpu"].keys() == {"onnxruntime"}
    assert needed["gpu"].keys() == {"onnxruntime-gpu", "nvidia-cublas"}
    assert not needed["cpu"]["onnxruntime"].contains("1.27.0")
    assert not needed["gpu"]["onnxruntime-gpu"].contains("1.27.0")
    assert needed["beets"].keys() == {"beets"}
    assert str(needed["serve"]["bentoml"]).startswith("==")
    assert set(metadata.get_all("Provides-Extra")) == needed.keys() - {None}


def test_its_packages_are_few_and_small(python):
    program = """
import json
from importlib.metadata import distributions
size = lambda each: sum(file.locate().stat().st_size for file in each.files if file.locate().is_file())
print(json.dumps({each.name: size(each) for each in distributions()}))
"""
    done = run(python, "-c", program, cwd=python.parent)
    sizes = {canonicalize_name(name): size for name, size in json.loads(done.stdout).items()}
    assert {"genre-classifier", "onnxruntime", "numpy"} <= sizes.keys()
    assert not SERVICE_AND_TRAINING & sizes.keys()
    beside_numpy = sum(sizes.values()) - sizes["numpy"]
    print(f"{beside_numpy / 1e6:.0f} MB of packages beside numpy's {sizes['numpy'] / 1e6:.0f}")
    assert beside_numpy < MAX_BYTES_BESIDE_NUMPY


def test_the_command_line_answers_as_in_the_clone(python, workplace, expected):
    command = python.with_name("genre-classifier")
    table = run(command, "song.mp3", cwd=workplace, GENRE_PROVIDER="cpu")
    assert table.returncode == 0, table.stderr
    assert expected["genre"] in table.stdout
    for program in ((command,), (python, "-m", "genre_classifier")):
        line = run(*program, "song.mp3", "--json", cwd=workplace, GENRE_PROVIDER="cpu")
        assert line.returncode == 0, line.stderr
        answer = json.loads(line.stdout)
        assert answer["genre"] == expected["genre"]
        assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)


def test_it_says_where_the_plugin_of_beets_is(python, workplace):
    done = run(python.with_name("genre-classifier"), "--beets-path", cwd=workplace)
    assert (done.returncode, done.stderr) == (0, "")
    folder = site_packages(python) / "genre_classifier" / "beets"
    assert done.stdout == f"{folder}\n"
    assert (folder / "genreclassifier.py").is_file()


def test_the_python_contract(python, workplace, expected):
    (workplace / "broken.mp3").write_bytes(b"no music")
    answers = run_script(
        python,
        """
import io, json, sys
from pathlib import Path
import genre_classifier
from genre_classifier import AudioError, Classifier, Verdict
import numpy as np
import soundfile

path = Path("song.mp3")
waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
with Classifier() as classifier:
    verdicts = [
        classifier.classify("song.mp3"),
        classifier.classify(path),
        classifier.classify(path.read_bytes()),
        classifier.classify(io.BytesIO(path.read_bytes())),
        classifier.classify(waveform.T, sample_rate=rate),
        classifier.classify(waveform.mean(axis=1), sample_rate=rate),
    ]
    results = list(classifier.classify_files(["song.mp3", "missing.mp3", "broken.mp3", "song.mp3"]))
    vector = classifier.embed("song.mp3")
    best = classifier.classify("song.mp3", top_k=1)

assert [file for file, _ in results] == ["song.mp3", "missing.mp3", "broken.mp3", "song.mp3"]
assert isinstance(results[0][1], Verdict) and isinstance(results[3][1], Verdict)
assert vector.dtype == np.float32 and vector.ndim == 1 and np.isfinite(vector).all()
assert list(best.probabilities) == [best.genre] and 0 < best.confidence <= 1
assert not {"bentoml", "torch", "librosa", "audio", "train", "serving"} & sys.modules.keys()
print(json.dumps({
    "verdicts": [verdict.model_dump(mode="json") for verdict in verdicts],
    "kinds": [error.kind for _, error in results if isinstance(error, AudioError)],
    "version": genre_classifier.__version__,
}))
""",
        workplace,
        GENRE_MODEL="/no/model.onnx",  # Classifier reads no environment
    )
    assert answers["version"] == __version__
    assert answers["kinds"] == ["missing", "undecodable"]
    for verdict in answers["verdicts"]:
        assert verdict["genre"] == expected["genre"]
        assert verdict["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)
        assert len(verdict["segments"]) == len(expected["segments"])


def test_without_a_runtime_one_sentence_says_which_extra_to_take(python, workplace):
    runtime = site_packages(python) / "onnxruntime"
    runtime.rename(workplace / "away")
    try:
        done = run(python.with_name("genre-classifier"), "song.mp3", cwd=workplace)
        raised = run(python, "-c", "import genre_classifier as g; g.Classifier()", cwd=workplace)
    finally:
        (workplace / "away").rename(runtime)
    (sentence,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.search(r'pip install "genre-classifier\[(cpu|gpu)\]"', sentence)
    assert raised.stderr.splitlines()[-1].endswith(f"ModelError: {sentence}")


def test_the_wheel_finds_its_artifacts_inside(python, workplace):
    assert artifacts_of(python, workplace) == site_packages(python) / "genre_classifier" / "artifacts"


def test_a_clone_finds_its_artifacts_beside_the_package(tmp_path):
    assert artifacts_of(sys.executable, tmp_path, PYTHONPATH=str(ROOT)) == ROOT / "artifacts"


def test_an_editable_install_finds_its_artifacts_in_the_clone(tmp_path, workplace):
    source = copy_sources(tmp_path / "source")
    python = install(tmp_path / "venv", "--no-deps", "--editable", source)
    assert artifacts_of(python, workplace) == source / "artifacts"


@pytest.mark.slow
def test_make_install_gives_the_library_alone(tmp_path, workplace, expected):
    source = copy_sources(tmp_path / "source")
    subprocess.run(["make", "install", "RUNTIME=cpu"], cwd=source, check=True, env=clean_environment())
    done = run(source / ".venv" / "bin" / "genre-classifier", "song.mp3", "--json", cwd=workplace)
    assert json.loads(done.stdout)["genre"] == expected["genre"]
    names = {path.name.partition("-")[0] for path in site_packages(source / ".venv" / "bin" / "python").iterdir()}
    assert not SERVICE_AND_TRAINING & names
