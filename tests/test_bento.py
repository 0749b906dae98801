"""What `bentoml build` packs: what the service needs, nothing else, in the locked versions; and what a release is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from genre_classifier import __version__
from serving.http.device import SITE, is_built
from serving.http.pages import index
from tests.support import ROOT
from tests.support.repository import copy_sources, repository_files
from tests.support.server import Server

LOCKS = {"bentofile.yaml": "gpu.txt", "bentofile.cpu.yaml": "cpu.txt"}
BESIDE_THE_CODE = re.compile(r"artifacts/(genre[\w-]*\.onnx|sample\.mp3|\w+\.md)|LICENSE|THIRD_PARTY_NOTICES\.md")


@pytest.fixture(scope="module")
def bentos(tmp_path_factory):
    """The folder of each bento, by the bentofile that built it."""
    folders = {}
    for bentofile in LOCKS:
        home = tmp_path_factory.mktemp("bentoml")
        command = [sys.executable, "-m", "bentoml", "build", "--bentofile", bentofile, "--output", "tag"]
        variables = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
        subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=True)
        (folders[bentofile],) = (home / "bentos" / "genre_classifier").glob("*/")
    return folders


def pins(text):
    """The hashes of each line `name==version`, which BentoML writes with other space before a marker."""
    found = {}
    requirement = None
    for line in text.splitlines():
        if match := re.match(r"([\w.-]+)==([^ ;]+)", line):
            requirement = match.groups()
            found.setdefault(requirement, set())
        elif match := re.match(r" +--hash=sha256:(\w+)", line):
            found[requirement].add(match[1])
    return found


@pytest.mark.parametrize("bentofile", LOCKS)
def test_it_holds_the_code_the_models_and_the_licences(bentos, bentofile):
    source = bentos[bentofile] / "src"
    packed = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    code = repository_files("genre_classifier", "serving", "batch")
    beside = {name for name in repository_files() if BESIDE_THE_CODE.fullmatch(name)}
    assert {"artifacts/genre.onnx", "artifacts/CARD.md", "LICENSE", "THIRD_PARTY_NOTICES.md"} <= beside
    site = {
        path.relative_to(ROOT).as_posix() for path in SITE.rglob("*") if path.is_file()
    }  # none where it is not built
    assert packed == code | beside | site | {"bentofile.yaml"}  # which is BentoML's own
    for name in code | beside | site:
        assert (source / name).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.parametrize("bentofile", LOCKS)
def test_its_packages_are_the_locked_ones_by_their_hashes(bentos, bentofile):
    python = bentos[bentofile] / "env" / "python"
    locked = pins((ROOT / "requirements" / LOCKS[bentofile]).read_text())
    assert pins((python / "requirements.txt").read_text()) == locked
    assert all(locked.values())
    assert not (python / "requirements.lock.txt").exists()


def test_it_finds_the_artifacts_in_it(bentos):
    source = bentos["bentofile.yaml"] / "src"
    program = "from genre_classifier.models import ARTIFACTS, SAMPLE_CLIP; print(ARTIFACTS, SAMPLE_CLIP.is_file())"
    found = subprocess.check_output([sys.executable, "-c", program], cwd=source, text=True)
    assert found == f"{source / 'artifacts'} True\n"


def test_it_serves(bentos, tmp_path):
    bento = bentos["bentofile.yaml"]
    with Server(tmp_path, str(bento), cwd=tmp_path) as server:
        sample = (bento / "src" / "artifacts" / "sample.mp3").read_bytes()
        answer = httpx.post(f"{server.url}/classify", files={"audio": sample}, timeout=60)
        assert answer.status_code == 200
        page = httpx.get(f"{server.url}/")
        assert page.text == index()
        assert httpx.get(f"{server.url}/device/").status_code == (200 if is_built() else 404)


def test_the_bentofiles_differ_by_the_runtime_alone():
    gpu, cpu = (yaml.safe_load((ROOT / name).read_text()) for name in LOCKS)
    assert gpu["python"].pop("requirements_txt") == "./requirements/gpu.txt"
    assert cpu["python"].pop("requirements_txt") == "./requirements/cpu.txt"
    (driver,) = [variable for variable in gpu["envs"] if variable not in cpu["envs"]]
    assert driver["name"] == "NVIDIA_DRIVER_CAPABILITIES"
    gpu["envs"].remove(driver)
    assert gpu == cpu


def test_a_release_is_wheel_sdist_and_bento_of_one_version(tmp_path):
    source = copy_sources(tmp_path / "source")
    environment = Path(sys.executable).parents[1]  # as it is: nothing is installed into it
    command = ["make", "RUNTIME=cpu", "-o", f"{environment}/dev-cpu.installed", f"VENV={environment}", "release"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    subprocess.run(command, cwd=source, env=variables, check=True)
    names = {path.name for path in (source / "dist").iterdir()}
    assert names == {f"genre_classifier-{__version__}{rest}" for rest in ("-py3-none-any.whl", ".tar.gz", ".bento")}
