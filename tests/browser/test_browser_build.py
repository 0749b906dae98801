"""What the build writes, and what it refuses."""

import json
import re
import subprocess
import sys

import pytest

from browser import build
from genre_classifier.models import MODELS
from genre_classifier.session import GenreSession, ModelError
from tests.support import ROOT
from tests.support.repository import repository_files

PARTS = {  # what each licence is known by
    "the code": "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION",
    "the body": "Copyright (c) Music Technology Group, Universitat Pompeu Fabra 2019.",
    "ONNX Runtime": "Copyright (c) Microsoft Corporation",
    "Emscripten": "Emscripten authors",
    "what ONNX Runtime contains": "THIRD PARTY SOFTWARE NOTICES",
}


def test_the_runtime_is_locked_without_addresses():
    lock = json.loads((ROOT / "browser" / "package-lock.json").read_text())
    packages = {name: each for name, each in lock["packages"].items() if name}
    (named,) = json.loads((ROOT / "browser" / "package.json").read_text())["dependencies"].items()
    assert packages[f"node_modules/{named[0]}"]["version"] == named[1]  # a version, not a range
    for package in packages.values():
        assert "resolved" not in package
        assert package["integrity"].startswith("sha512-")


def test_the_site_holds_the_notices_of_what_it_holds(site):
    notices = (site / "notices.txt").read_text()
    places = [notices.find(words) for words in PARTS.values()]
    assert min(places) > 0
    for number in range(1, 6):
        assert notices.count(f"\n({number})\n") == 1


def test_the_site_is_the_page_and_the_classifier(site):
    """Its modules are the service's to the letter, but for the one that asks; and there is nothing else."""
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    page = {re.sub("^serving/http/", "", name) for name in repository_files("serving/http/page")}
    classifier = {re.sub("^browser/", "", name) for name in repository_files("browser/classifier")}
    written = {f"classifier/{name}" for name in ("runtime.js", "runtime.wasm", "genre.onnx", "model.json")}
    beside = {"about.html", "icon.svg", "index.html", "manifest.json", "notices.txt", "sample.mp3", "sw.js"}
    assert files == page - {"page/index.html"} | classifier | written | beside
    for name in page - {"page/index.html", "page/service.js"}:
        assert (site / name).read_bytes() == (build.PAGE.parent / name).read_bytes()


def test_the_model_says_of_itself_what_it_says_natively(site):
    told = json.loads((site / "classifier" / "model.json").read_text())
    info = GenreSession(MODELS["genre"], provider="cpu").info.model_dump(mode="json")
    assert {name: told.get(name) for name in info if name != "provider"} == {
        name: value for name, value in info.items() if name != "provider"
    }
    assert told["bytes"] == sum((site / "classifier" / name).stat().st_size for name in build.DOWNLOADED)


def test_another_model_is_built_with_its_own_words(site, tmp_path):
    build.build(MODELS["cnn"], tmp_path / "site")
    told = json.loads((tmp_path / "site" / "classifier" / "model.json").read_text())
    assert told["network"] == "cnn"
    assert (tmp_path / "site" / "classifier" / "genre.onnx").read_bytes() == MODELS["cnn"].read_bytes()


def test_what_cannot_be_built_is_told_in_a_sentence(site, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="There is no model file"):
        build.build(tmp_path / "nothing.onnx", tmp_path / "site")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("the only copy")
    with pytest.raises(build.BuildError, match="holds something else"):
        build.build(MODELS["genre"], tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "the only copy"
    monkeypatch.setitem(build.IN_THE_PAGE, "no such words", "")
    with pytest.raises(build.BuildError, match="The page must have this once: no such words"):
        build.build(MODELS["genre"], tmp_path / "site")
    monkeypatch.setattr(build, "RUNTIME", tmp_path / "nothing")
    with pytest.raises(build.BuildError, match="The runtime is not installed"):
        build.build(MODELS["genre"], tmp_path / "site")
    command = [sys.executable, "-m", "browser.build", "--model", "nothing.onnx", "--output", tmp_path / "site"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("browser.build: There is no model file at nothing.onnx")
