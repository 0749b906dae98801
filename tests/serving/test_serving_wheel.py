"""The wheel alone, away from the repository, serves and classifies with the model it carries."""

import json
import os
import subprocess
import sys

import httpx
import pytest
from serving_stand_in import ROOT, sound_file, tone

from benchmarks.server import Server

PAGE = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js"}
SHIPPED = ("artifacts/genre.onnx", "artifacts/sample.mp3", *(f"serving/page/{name}" for name in PAGE.values()))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder of packages with this wheel in it, and nothing else of this repository."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    # From a copy of what git knows: building leaves folders beside the sources.
    source = folder / "source"
    names = subprocess.check_output(["git", "ls-files", "-z", "-c", "-o", "--exclude-standard"], cwd=ROOT, text=True)
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def test_it_carries_the_model_the_sample_and_the_page(site):
    for name in SHIPPED:
        assert (site / name).read_bytes() == (ROOT / name).read_bytes()
    assert not (site / "tests").exists()


def test_it_classifies(site, tmp_path):
    (tmp_path / "song.wav").write_bytes(sound_file(tone(7)))
    where = {**os.environ, "PYTHONPATH": str(site), "GENRE_PROVIDER": "cpu"}
    command = [sys.executable, "-m", "serving", "song.wav", "--json"]
    told = json.loads(subprocess.check_output(command, cwd=tmp_path, env=where))
    assert told["duration"] == 7.0
    assert len(told["segments"]) == 3
    located = "import serving; print(serving.__file__)"
    assert str(site) in subprocess.check_output([sys.executable, "-c", located], cwd=tmp_path, env=where, text=True)


def test_it_serves(site, tmp_path):
    server = Server(tmp_path, cwd=tmp_path, arguments=["serving.service:GenreClassifier"], PYTHONPATH=str(site))
    try:
        server.wait()
        answer = httpx.post(f"{server.url}/classify", files={"audio": sound_file(tone(4))}, timeout=30)
        assert answer.status_code == 200
        for address, name in PAGE.items():
            assert httpx.get(server.url + address).content == (ROOT / "serving" / "page" / name).read_bytes()
    finally:
        server.stop()
