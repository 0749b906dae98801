"""The programs of docs/browser.md, in a browser, as parts of another site."""

import re
import shutil

import pytest
from playwright.sync_api import expect

from browser.build import RUNTIME
from genre_classifier import Classifier
from genre_classifier.models import DEFAULT_MODEL, find_model
from tests.support import ROOT
from tests.support.audio import encode, tone
from tests.support.page import BROKEN, file, percent
from tests.support.web import WebServer

MANUAL = (ROOT / "docs" / "browser.md").read_text()
WITH_FOLDER, ALONE = re.findall(r"^```js\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL)
SIX_SECONDS = encode(tone(6))  # two chunks, and no tail
SAMPLE = (ROOT / "artifacts" / "sample.mp3").read_bytes()
FORM = '<!doctype html><title>A site</title><input type="file" multiple><ul></ul>'
IMPORTS = """<script type="importmap">{"imports": {"onnxruntime-web/wasm": "./ort/ort.wasm.bundle.min.mjs"}}</script>"""


@pytest.fixture
def other_site(site, chromium, tmp_path):
    """Opens a page of another site, which has the files beside it that the manual says it needs."""
    shutil.copytree(site / "classifier", tmp_path / "classifier")
    with WebServer(tmp_path) as host:

        def open_page(html):
            (tmp_path / "index.html").write_text(html)
            page = chromium.new_page()
            page.goto(host.url)
            return page

        yield open_page


def test_the_folder_classifies_what_a_person_chooses(other_site):
    page = other_site(f'{FORM}<script type="module">{WITH_FOLDER}\nwindow.ready = true</script>')
    page.wait_for_function("window.ready")
    page.locator("input").set_input_files([file("sample.mp3", SAMPLE), file("notes.txt", BROKEN)])
    with Classifier(provider="cpu") as classifier:
        verdict = classifier.classify(SAMPLE)
    sure = percent(verdict.confidence).replace("\xa0", " ")
    expect(page.locator("li")).to_have_text([
        f"sample.mp3: none of these, most like {verdict.genre}, {sure}",
        "notes.txt: This is not an audio file that this browser can read.",
    ])  # fmt: skip
    page.close()


def test_a_site_may_have_a_policy_and_threads(site, chromium, tmp_path):
    """With the words of the manual alone: what they do not allow is refused."""
    shutil.copytree(site / "classifier", tmp_path / "classifier")
    (tmp_path / "index.html").write_text(f'{FORM}<script type="module" src="app.js"></script>')
    (tmp_path / "app.js").write_text(f"{WITH_FOLDER}\ndocument.title = crossOriginIsolated")
    parts = re.findall(r"`((?:script|worker|connect|media)-src .*?)`", MANUAL)
    headers = dict(re.findall(r"`(Cross-Origin-[\w-]+): ([\w-]+)`", MANUAL))
    assert (len(parts), len(headers)) == (4, 2)
    policy = {"Content-Security-Policy": "; ".join(["default-src 'none'", *parts])}
    with WebServer(tmp_path, headers | policy) as host:
        page = chromium.new_page()
        page.goto(host.url)
        expect(page).to_have_title("true")
        page.locator("input").set_input_files(file("sample.mp3", SAMPLE))
        expect(page.locator("li")).to_contain_text("most like jazz")
        page.close()


def test_the_file_alone_is_enough(other_site, tmp_path):
    assert len(ALONE.strip().splitlines()) <= 21
    shutil.copy(find_model(DEFAULT_MODEL), tmp_path / "genre.onnx")
    (tmp_path / "ort").mkdir()
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
        shutil.copy(RUNTIME / name, tmp_path / "ort")
    (tmp_path / "alone.js").write_text(ALONE)
    (tmp_path / "song.wav").write_bytes(SIX_SECONDS)
    page = other_site(FORM + IMPORTS)
    program = 'async (name) => (await import("./alone.js")).classify(await (await fetch(name)).blob())'
    given = page.evaluate(program, "song.wav")
    with Classifier(provider="cpu") as classifier:
        verdict = classifier.classify(SIX_SECONDS, aggregate="mean")
    assert given["genre"] == verdict.genre
    assert given["confidence"] == pytest.approx(verdict.confidence, abs=1e-3)
    page.close()


def test_the_options_are_the_services(in_a_page):
    program = """async (file, options) => {
        const { Classifier } = await import("./classifier/classifier.js");
        const classifier = await Classifier.load();
        const heard = [];
        const verdict = await classifier.classify(file, { ...options, progress: (share) => heard.push(share) });
        const stopped = AbortSignal.abort();
        const aborted = await classifier.classify(file, { signal: stopped }).catch((error) => error.name);
        const refused = await classifier.classify(file, { top_k: 11 }).catch((error) => error.message);
        classifier.close();
        return { verdict, heard, aborted, refused };
    }"""
    given = in_a_page(program, "sample.mp3", SAMPLE, {"top_k": 2, "aggregate": "mean"})
    assert given["verdict"]["aggregate"] == "mean"
    assert len(given["verdict"]["probabilities"]) == 2
    assert given["heard"] == [1]
    assert given["aborted"] == "AbortError"
    assert given["refused"] == "top_k must be a whole number from 1 to 10."
