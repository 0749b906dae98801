"""The built site in a real browser, beside the native runtime: files in, answers out, and nothing leaves the device."""

import json
import re

import pytest
from playwright.sync_api import expect

from genre_classifier import AudioError, Classifier
from genre_classifier.audio import SAMPLE_RATE
from serving.http.errors import STATUS_OF_AUDIO_ERROR
from tests.support import ROOT
from tests.support.audio import encode, encode_av, tone
from tests.support.page import (
    BROKEN,
    CUT,
    DESKTOP,
    OTHER,
    QUIET,
    SMALL_PHONE,
    SONG,
    card,
    check_with_axe,
    choose,
    ends,
    file,
    note_states,
    noted_states,
    percent,
    plain,
    transferred,
    until,
    visits,
)
from tests.support.web import WebServer

TOLERANCE = 1e-3  # of a probability: by another runtime, and for MP3 by another decoder
NUMBERS = {"confidence", "probabilities", "segments", "tags"}
SAMPLE = (ROOT / "artifacts" / "sample.mp3").read_bytes()
SHORT, SILENT = encode(tone(2.5)), encode(tone(4, level=1e-5))


@pytest.fixture(scope="module")
def native():
    """What the library says of a file's bytes: the answer, or the error and the status that the service has for it."""
    with Classifier(provider="cpu") as classifier:

        def answer(content):
            try:
                return classifier.classify(content).model_dump(mode="json")
            except AudioError as error:
                return {"error": str(error), "status": STATUS_OF_AUDIO_ERROR[error.kind]}

        yield answer


@pytest.fixture(scope="module")
def opened(chromium, site):
    with WebServer(site.parents[1]) as host, visits(chromium, f"{host.url}/some/where") as open_page:
        yield open_page()


@pytest.fixture
def page(opened):
    """The site in a window, without files; loading the model takes long, so these tests share it."""
    yield opened
    opened.locator("#clear").evaluate("button => button.click()")
    opened.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})


def close(given, expected):
    """Whether answers are the same but for small differences of numbers."""
    if isinstance(expected, dict):
        return given.keys() == expected.keys() and all(close(given[name], expected[name]) for name in expected)
    if isinstance(expected, list):
        return len(given) == len(expected) and all(map(close, given, expected))
    return given == (pytest.approx(expected, abs=TOLERANCE) if type(expected) is float else expected)


def test_a_song_is_dropped(page, native):
    note_states(page)
    page.dispatch_event("footer", "drop", {"dataTransfer": transferred(page, "sample.mp3", SAMPLE)})
    ends(page, "1 of 1 file done")
    statuses = {status.split()[0] for status in noted_states(page)}
    assert {"Decoding", "Listening"} <= statuses
    assert "Uploading" not in statuses
    answer = native(SAMPLE)
    sample = card(page, "sample.mp3")
    expect(sample.locator(".genre")).to_have_text(answer["genre"])
    expect(sample.locator(".status")).to_have_text(f"{percent(answer['confidence'])} confidence")
    expect(sample.locator(".why").first).to_have_text(re.compile("None of these: it sounds unlike"))
    assert sample.locator(".tags li").all_text_contents() == list(answer["tags"])
    footer = plain(page.locator("footer").inner_text())
    for word in (answer["model"]["version"], "WebAssembly", *answer["probabilities"]):
        assert word in footer


def test_answers_are_the_native_ones(page, native, tmp_path):
    """Those of good files in all their numbers, and of others by the same sentence and status."""
    files = {
        "sample.mp3": SAMPLE, "song.wav": SONG, "other.ogg": OTHER, "quiet.wav": QUIET, "cut.mp3": CUT,
        "song.flac": encode(tone(7), container="FLAC"), "short.wav": SHORT, "silent.wav": SILENT, "empty.mp3": b"",
    }  # fmt: skip
    choose(page, *(file(name, content) for name, content in files.items()))
    ends(page, "6 of 9 files done, 3 failed")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as JSON").click()
    download.value.save_as(tmp_path / "genres.json")
    given = {each.pop("file"): each for each in json.loads((tmp_path / "genres.json").read_text())}
    for name, content in files.items():
        expected = native(content)
        if "model" in expected:
            assert given[name].pop("model") == {**expected.pop("model"), "provider": "WebAssembly"}
        assert close(given[name], expected), (name, given[name], expected)
    assert given["cut.mp3"]["warning"].startswith("The file breaks off")


def test_a_broken_file_stops_no_other(page):
    wma = encode_av(tone(4), SAMPLE_RATE, "asf", "wmav2")  # which this browser cannot decode
    noise = bytes(range(256)) * 400
    choose(page, file("notes.txt", BROKEN), file("noise.mp3", noise), file("song.wma", wma), file("song.wav", SONG))
    ends(page, "1 of 4 files done, 3 failed")
    sentence = "This is not an audio file that this browser can read."
    for name in ("notes.txt", "noise.mp3", "song.wma"):
        expect(card(page, name).locator(".error")).to_have_text(sentence)
        expect(card(page, name).get_by_role("button", name="Try again")).to_be_hidden()
    expect(card(page, "song.wav").locator(".genre")).to_be_visible()


def test_a_file_that_has_gone_is_told(page, tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(12)]
    for path in paths:
        path.write_bytes(SONG)
    page.locator("#files").set_input_files(paths)
    page.get_by_role("button", name="Stop").click()
    expect(card(page, "11.wav").locator(".state")).to_have_text("Stopped")
    paths[-1].unlink()
    page.get_by_role("button", name="Go on").click()
    ends(page, "11 of 12 files done, 1 failed")
    sentence = "This file cannot be read: it may have been moved, or be a folder."
    expect(card(page, "11.wav").locator(".error")).to_have_text(sentence)


def test_the_keyboard_is_enough(page):
    with page.expect_file_chooser() as chooser:
        page.locator("#files").focus()
        page.keyboard.press("Enter")
    chooser.value.set_files([file("song.wav", SONG), file("other.ogg", OTHER)])
    ends(page, "2 of 2 files done")
    page.get_by_role("button", name="song.wav", exact=True).focus()
    page.keyboard.press("Enter")
    expect(card(page, "song.wav").locator(".detail")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(card(page, "song.wav").locator(".detail")).to_be_visible()
    page.get_by_role("button", name="Remove other.ogg").press("Enter")
    ends(page, "1 of 1 file done")
    page.get_by_role("button", name="Undo").press("Enter")
    ends(page, "2 of 2 files done")


def test_it_is_the_page_of_the_service(page):
    """With these words changed; axe finds nothing, and nothing is wider than the window."""
    expect(page.get_by_text("Files stay on this device: nothing is uploaded.")).to_be_visible()
    expect(page.locator("#limits")).to_have_text("Any common format will do, from 3 seconds on.")
    choose(page, file("song.wav", SONG), file("notes.txt", BROKEN))
    ends(page, "1 of 2 files done, 1 failed")
    for width, height in (DESKTOP, SMALL_PHONE):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        check_with_axe(page)


def test_its_links_lead_somewhere(visit, url):
    page = visit()
    hrefs = "links => links.map((link) => link.href)"
    links = page.locator("a").evaluate_all(hrefs)
    page.get_by_role("link", name="What the model is").click()
    expect(page.get_by_text("WebAssembly")).to_be_visible()
    check_with_axe(page)
    links += page.locator("a").evaluate_all(hrefs)
    names = ["about.html", "notices.txt", "", "classifier/model.json"]
    assert [link.removeprefix(f"{url}/") for link in links] == names
    assert all(page.request.get(link).ok for link in links)
    page.get_by_role("link", name="Which genre is it?").click()
    expect(page.locator("#model")).to_contain_text("Model")


def test_it_says_how_far_the_model_has_come_and_tries_again(chromium, url):
    told = []
    page = chromium.new_page(service_workers="block")
    page.expose_function("told", lambda words: told.append(words))  # noqa: PLW0108 (it takes no builtin)
    page.add_init_script(
        """addEventListener("DOMContentLoaded", () => {
            const model = document.getElementById("model");
            new MutationObserver(() => window.told(model.textContent)).observe(model, { childList: true });
        })"""
    )
    page.route("**/classifier/genre.onnx", lambda route: route.abort(), times=1)
    page.goto(url)
    until(page, lambda: "The model cannot be loaded: try again in a moment." in told)
    expect(page.locator("#model")).to_contain_text("Model ")
    shares = [int(share) for share in re.findall(r"Loading the model, (\d+)", " ".join(told))]
    assert shares[-1] == 100
    assert len(set(shares)) > 3
    page.close()
