"""What `bentoml build` packs: all that serving needs, nothing else, in the versions that the tests run on."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from serving import __version__

ROOT = Path(__file__).parents[1]
RUNTIMES = {"bentofile.yaml": "onnxruntime-gpu[cuda,cudnn]", "bentofile.cpu.yaml": "onnxruntime"}
BESIDE_THE_CODE = {
    "LICENSE",
    "artifacts/CARD.md",
    "artifacts/TRAINING.md",
    "artifacts/genre.onnx",
    "artifacts/sample.mp3",
    "bentofile.yaml",
    "constraints.txt",
    "serving/page/index.html",
    "serving/page/page.css",
    "serving/page/page.js",
}


@pytest.fixture(scope="module", params=RUNTIMES)
def bento(request, tmp_path_factory):
    """A folder with the bento in it, and the name of the file that it was built by."""
    home = tmp_path_factory.mktemp("bentoml")
    command = [sys.executable, "-m", "bentoml", "build", "--bentofile", request.param, "--output", "tag"]
    variables = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
    subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=True)
    (folder,) = (home / "bentos" / "genre_classifier").glob("*/")
    return folder, request.param


def test_it_holds_what_serving_needs_and_nothing_else(bento):
    source = bento[0] / "src"
    packed = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    tracked = subprocess.check_output(["git", "ls-files", "audio", "serving"], cwd=ROOT, text=True).splitlines()
    assert packed == BESIDE_THE_CODE | {name for name in tracked if name.endswith(".py")}
    for name in packed - {"bentofile.yaml"}:
        assert (source / name).read_bytes() == (ROOT / name).read_bytes()


def test_its_packages_are_locked_to_what_the_tests_run_on(bento):
    text = (bento[0] / "env" / "python" / "requirements.txt").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE))
    constraints = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    known = {_plain(name): version for name, version in constraints.items()}
    # Beyond what the tests run on there are only the CUDA libraries, which no machine without a GPU has.
    assert {name: version for name, version in locked.items() if known.get(_plain(name)) != version}.keys() <= {
        name for name in locked if name.startswith("nvidia-")
    }
    assert len(locked) > 50
    assert not {"torch", "librosa", "numba", "pytest", "matplotlib"} & set(locked)


@pytest.mark.parametrize("bentofile", RUNTIMES)
def test_the_lists_of_packages_agree(bentofile):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {str(Requirement(each.partition(";")[0])) for each in project["dependencies"]}
    wanted = {each for each in wanted if not each.startswith("onnxruntime")}
    listed = yaml.safe_load((ROOT / bentofile).read_text())["python"]["packages"][1:]
    assert {str(Requirement(each)) for each in listed} == wanted | {f"{RUNTIMES[bentofile]}>=1.22"}


def test_a_release_is_wheel_sdist_and_bento_of_one_version(tmp_path):
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "--quiet", ROOT, source], check=True)
    venv = Path(sys.executable).parents[1]  # as it is: nothing is installed into it
    subprocess.run(["make", "-o", f"{venv}/dev.installed", f"VENV={venv}", "release"], cwd=source, check=True)
    names = {path.name for path in (source / "dist").iterdir()}
    assert names == {f"genre_classifier-{__version__}{rest}" for rest in ("-py3-none-any.whl", ".tar.gz", ".bento")}


def _plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()
