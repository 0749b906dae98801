"""The page in a real browser, against a real server with the model that ships."""

import json
import re
import shutil
import time
from itertools import pairwise
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from playwright.sync_api import expect, sync_playwright

from genre_classifier.audio import SAMPLE_RATE
from genre_classifier.audio.suffixes import AUDIO_SUFFIXES
from tests.support import ROOT
from tests.support.audio import encode, tone

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
SECONDS = 15_000  # milliseconds that an expectation may take
DESKTOP, PHONE, SMALL_PHONE = (1280, 800), (375, 667), (320, 568)

SONG = encode(tone(7))
OTHER = encode(tone(10, 90), container="OGG")
QUIET = tone(13)
QUIET[3 * SAMPLE_RATE : 6 * SAMPLE_RATE] = 0  # its second segment is silent, and its last overlaps the one before
QUIET = encode(QUIET)
MP3 = encode(tone(6), container="MP3")
CUT = MP3[: len(MP3) * 3 // 4]
BROKEN = b"no music"


def file(name, content):
    return {"name": name, "mimeType": "", "buffer": content}


@pytest.fixture(scope="module")
def chromium():
    expect.set_options(timeout=SECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, server):
    """Opens the page in a window of its own; in the end nothing went wrong there, and nobody else was asked."""
    complaints, foreign, contexts = [], [], []

    def told(message):
        refused = message.location["url"].endswith(("/classify", "/model"))  # a browser reports every 4xx as an error
        if message.type in {"error", "warning"} and not refused:
            complaints.append(message.text)

    def asked(request):
        url = request.url.removeprefix("blob:")
        if urlsplit(url).scheme != "data" and not url.startswith(server.url + "/"):
            foreign.append(request.url)

    def open_page(size=DESKTOP, **options):
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", told)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", asked)
        page.goto(server.url)
        expect(page.locator("#model")).to_contain_text("Model")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert foreign == []


def choose(page, *files):
    page.locator("#files").set_input_files(list(files))


def card(page, name):
    return page.locator(".card").filter(has=page.get_by_role("heading", name=name, exact=True))


def ends(page, summary):
    expect(page.locator("#summary")).to_have_text(summary)


def until(page, true):
    """Waits for what the browser tells this process, not the page."""
    end = time.monotonic() + SECONDS / 1000
    while not true() and time.monotonic() < end:
        page.wait_for_timeout(20)
    assert true()


def plain(text):
    return re.sub(r"\s+", " ", text)


def percent(share):
    return f"{int(100 * share + 0.5)} %"


def asked_directly(client, content):
    return client.post("/classify", files={"audio": content}).json()


def position(page):
    return page.evaluate("document.getElementById('player').currentTime")


def test_a_song_is_dropped(visit, client):
    page = visit()
    content = (ROOT / "artifacts" / "sample.mp3").read_bytes()
    transfer = page.evaluate_handle(
        """(bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "sample.mp3", { type: "audio/mpeg" }));
            return transfer;
        }""",
        list(content),
    )
    page.evaluate(
        """() => {
            window.statuses = new Set();
            new MutationObserver(() => {
                for (const each of document.querySelectorAll(".status")) window.statuses.add(each.textContent);
            }).observe(document.body, { childList: true, subtree: true });
        }"""
    )
    page.dispatch_event("footer", "dragover", {"dataTransfer": transfer})
    expect(page.locator("body")).to_have_class(re.compile("over"))
    page.dispatch_event("footer", "drop", {"dataTransfer": transfer})
    ends(page, "1 of 1 file done")
    statuses = page.evaluate("[...window.statuses]")
    assert {"Uploading", "Listening"} <= {status.split()[0] for status in statuses}
    answer = asked_directly(client, content)
    sample = card(page, "sample.mp3")
    expect(sample.locator(".genre")).to_have_text(answer["genre"])
    expect(sample.locator(".status")).to_have_text(f"{percent(answer['confidence'])} confidence")
    expect(sample.locator(".pill")).to_be_visible(visible=answer["uncertain"])
    bars = [plain(text) for text in sample.locator(".bars li").all_text_contents()]
    assert bars == [f"{genre}{percent(share)}" for genre, share in answer["probabilities"].items()]
    expect(sample.locator(".legend")).to_have_text("jazz 3 of 3")
    expect(page.locator("#said")).to_have_text(re.compile(f"1 of 1 file done. {answer['genre']}, "))
    footer = plain(page.locator("footer").inner_text())
    for word in (answer["model"]["version"], "CPU", *answer["probabilities"]):
        assert word in footer


def test_folders_are_walked(visit, tmp_path):
    """By a drop as the system makes it, and by the button."""
    (tmp_path / "album" / "disc 2").mkdir(parents=True)
    (tmp_path / "album" / "disc 2" / "last.wav").write_bytes(SONG)
    (tmp_path / "album" / ".hidden").write_bytes(BROKEN)
    for number in range(3):
        (tmp_path / "album" / f"{number}.wav").write_bytes(SONG)
    page = visit()
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(tmp_path / "album")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    ends(page, "4 of 4 files done")
    names = ["album/0.wav", "album/1.wav", "album/2.wav", "album/disc 2/last.wav"]
    assert page.locator(".card h3").all_text_contents() == names
    page.locator("#folder").set_input_files(tmp_path / "album")
    ends(page, "8 of 8 files done")


def test_a_broken_file_stops_no_other(visit, client):
    page = visit()
    nasty = "<img src=x onerror=alert(1)>.wav"
    choose(page, file(nasty, SONG), file("notes.txt", BROKEN), file("cut.mp3", CUT), file("song.ogg", OTHER))
    ends(page, "3 of 4 files done, 1 failed")
    sentence = asked_directly(client, BROKEN)["error"]
    broken = card(page, "notes.txt")
    expect(broken.locator(".status")).to_have_text(sentence)
    expect(card(page, nasty).locator(".genre")).to_be_visible()
    expect(card(page, "song.ogg").locator(".genre")).to_be_visible()
    expect(card(page, "cut.mp3").locator(".warning")).to_have_text(asked_directly(client, CUT)["warning"])
    with page.expect_response("**/classify") as response:
        broken.get_by_role("button", name="Try again").click()
    assert response.value.status == 400
    expect(broken.locator(".status")).to_have_text(sentence)
    page.get_by_role("button", name="failed 1").click()
    expect(page.locator(".card:visible")).to_have_count(1)
    page.get_by_role("button", name="all 4").click()
    expect(page.locator(".card:visible")).to_have_count(4)


def test_of_a_folder_the_music_is_taken_in_order(visit, tmp_path):
    album = tmp_path / "album"
    for name in ("10 last.wav", "2 first.wav", "cover.jpg", "._2 first.wav", ".hidden/3.wav", "list.m3u"):
        (album / name).parent.mkdir(parents=True, exist_ok=True)
        (album / name).write_bytes(SONG)
    page = visit()
    page.locator("#folder").set_input_files(album)
    ends(page, "2 of 2 files done")
    assert page.locator("h3").all_text_contents() == ["album/2 first.wav", "album/10 last.wav"]


def test_a_folder_s_music_is_the_command_line_s():
    script = (ROOT / "serving" / "http" / "page" / "page.js").read_text()
    (pattern,) = re.findall(r"^const MUSIC = /(.*)/i;$", script, re.MULTILINE)
    assert all(re.search(pattern, f"song{suffix}") for suffix in AUDIO_SUFFIXES)
    assert not [name for name in ("cover.jpg", "list.m3u", "disc.cue", "notes.txt") if re.search(pattern, name)]


def test_filters_lead_nowhere_empty_and_keep_the_keyboard(visit):
    page = visit()
    choose(page, file("a.wav", SONG), file("b.txt", BROKEN), file("c.txt", BROKEN))
    choose(page, file("d.wav", SONG))
    ends(page, "2 of 4 files done, 2 failed")
    song = card(page, "a.wav")
    song.get_by_role("button", name="Play a.wav").click()
    expect(song.get_by_role("button", name="Pause a.wav")).to_be_visible()
    page.get_by_role("button", name="failed 2").click()
    expect(page.locator("#said")).to_have_text("2 files shown: failed.")
    assert page.evaluate("document.getElementById('player').paused")
    focused = "document.activeElement.ariaLabel ?? document.activeElement.textContent"
    page.get_by_role("button", name="Remove b.txt").press("Enter")
    assert page.evaluate(focused) == "Remove c.txt"
    page.get_by_role("button", name="Remove c.txt").press("Enter")
    expect(song).to_be_visible()  # where a filter would show nothing, all is shown
    assert page.evaluate(focused) == "Remove d.wav"
    expect(page.get_by_role("button", name="failed 0")).to_be_disabled()


def test_names_of_segments_are_whole_or_not_there(visit):
    page = visit(PHONE)
    choose(page, file("song.ogg", OTHER))
    ends(page, "1 of 1 file done")
    cut = """all => all.filter(each => getComputedStyle(each.firstChild).visibility === "visible"
                                   && each.firstChild.offsetWidth > each.clientWidth).length"""
    assert page.locator(".timeline span").evaluate_all(cut) == 0
    assert page.locator(".timeline i").count() > 0


@pytest.mark.parametrize("width", [1280, 390])
def test_the_longest_genre_stands_on_one_line(visit, width):
    page = visit((width, 800))
    choose(page, file("song.ogg", OTHER))
    ends(page, "1 of 1 file done")
    genre = page.locator("p.genre")
    one = genre.evaluate("genre => (genre.textContent = 'pop', genre.offsetHeight)")
    assert genre.evaluate("genre => (genre.textContent = 'classical', genre.offsetHeight)") == one


def test_many_files_all_end(visit):
    page = visit()
    page.evaluate(
        """() => {
            window.together = window.most = 0;
            const send = XMLHttpRequest.prototype.send;
            XMLHttpRequest.prototype.send = function (body) {
                window.most = Math.max(window.most, ++window.together);
                this.addEventListener("load", () => window.together--);
                send.call(this, body);
            };
        }"""
    )
    short = encode(tone(3))
    choose(page, *[file(f"{n}.wav", BROKEN if n % 8 == 3 else short) for n in range(40)])
    ends(page, "35 of 40 files done, 5 failed")
    expect(page.locator("#said")).to_have_text("35 of 40 files done, 5 failed.")
    expect(page.locator("#stop")).to_be_disabled()
    together = page.evaluate("[window.together, window.most]")
    assert together[0] == 0
    assert 2 <= together[1] <= 3
    drawn = page.locator(".timeline span").count()
    assert 0 < drawn < 35  # only what is near the window


def test_play_and_seek(visit):
    page = visit()
    choose(page, file("song.ogg", OTHER), file("quiet.wav", QUIET))
    ends(page, "2 of 2 files done")
    song, quiet = card(page, "song.ogg"), card(page, "quiet.wav")
    slider = song.get_by_role("slider")
    song.get_by_role("button", name="Play song.ogg").click()
    expect(song.get_by_role("button", name="Pause song.ogg")).to_be_visible()
    page.wait_for_timeout(600)
    assert position(page) > 0.2
    assert slider.evaluate("slider => Number(slider.style.getPropertyValue('--at'))") > 0.02
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + box["height"] - 5)
    assert position(page) == pytest.approx(6, abs=0.7)
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 10, steps=4)
    page.mouse.up()
    assert position(page) == pytest.approx(4, abs=0.7)
    # Another one takes over, and the first stops where it was.
    quiet.get_by_role("button", name="Play quiet.wav").click()
    expect(song.get_by_role("button", name="Play song.ogg")).to_be_visible()
    expect(quiet.get_by_role("button", name="Pause quiet.wav")).to_be_visible()
    assert position(page) < 4
    quiet.get_by_role("button", name="Pause quiet.wav").click()
    expect(quiet.get_by_role("button", name="Play quiet.wav")).to_be_visible()
    # There is a picture of the sound, and it is coloured up to where it was played.
    colours = """canvas => {
        const { data } = canvas.getContext("2d").getImageData(0, canvas.height / 2, canvas.width, 1);
        const all = new Set();
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) all.add(data.slice(i, i + 3).join());
        return all.size;
    }"""
    assert song.locator("canvas").evaluate(colours) >= 2


def test_the_timeline_is_as_answered(visit, client):
    page = visit()
    choose(page, file("quiet.wav", QUIET))
    ends(page, "1 of 1 file done")
    quiet = card(page, "quiet.wav")
    answer = asked_directly(client, QUIET)
    assert [segment["genre"] is None for segment in answer["segments"]] == [False, True, False, False, False]
    boxes = [span.bounding_box() for span in quiet.locator(".timeline span").all()]
    whole = quiet.locator(".timeline").bounding_box()
    assert boxes[0]["x"] == pytest.approx(whole["x"], abs=1)
    assert boxes[-1]["x"] + boxes[-1]["width"] == pytest.approx(whole["x"] + whole["width"], abs=1)
    for left, right in pairwise(boxes):
        assert left["x"] + left["width"] == pytest.approx(right["x"], abs=1)  # nothing twice
    assert quiet.locator(".timeline .silent").bounding_box()["width"] == pytest.approx(whole["width"] * 3 / 13, abs=1)
    expect(quiet.locator(".legend")).to_contain_text("silent 1 of 5")


def test_the_keyboard_alone(visit):
    page = visit()
    choosers = []
    # Long before Enter: what `expect_file_chooser` asks of the browser may come too late.
    page.on("filechooser", lambda chooser: choosers.append(chooser))  # noqa: PLW0108 (it takes no builtin)
    page.keyboard.press("Tab")
    expect(page.locator("#files")).to_be_focused()
    assert page.locator("label:has(#files)").evaluate("label => getComputedStyle(label).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    until(page, lambda: choosers)
    choosers[0].set_files([file("song.wav", SONG), file("notes.txt", BROKEN)])
    ends(page, "1 of 2 files done, 1 failed")

    def tab_to(role, name):
        for _ in range(40):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            if focused.count() and page.get_by_role(role, name=name).evaluate("e => e === document.activeElement"):
                return focused
        pytest.fail(f"Tab does not reach {name}.")

    tab_to("button", "Copy as JSON: song.wav")
    tab_to("button", "Play song.wav")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Pause song.wav")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play song.wav")).to_be_focused()
    slider = tab_to("slider", "Position in song.wav")
    genre = card(page, "song.wav").locator(".genre").text_content()
    for key, seconds in [("Home", 0), ("ArrowRight", 1), ("PageUp", 7), ("ArrowLeft", 6), ("Home", 0), ("End", 7)]:
        page.keyboard.press(key)
        assert position(page) == pytest.approx(seconds, abs=0.05)
        expect(slider).to_have_attribute("aria-valuenow", str(seconds))
        expect(slider).to_have_attribute("aria-valuetext", f"{seconds} of 7 seconds, {genre}")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause song.wav")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play song.wav")).to_be_visible()
    tab_to("button", "Try again: notes.txt")
    with page.expect_response("**/classify"):
        page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove notes.txt")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove song.wav")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#files")).to_be_focused()
    expect(page.locator(".card")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, (900, 700), PHONE, SMALL_PHONE])
def test_every_size_in_both_schemes(visit, size, scheme):
    """Nothing is wider than the window, nothing moves when an answer comes, and axe finds nothing."""
    page = visit(size, color_scheme=scheme)
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(fits)
    check_with_axe(page)
    held = []
    page.route("**/classify", lambda route: held.append(route))  # noqa: PLW0108 (it takes no builtin)
    choose(page, file("song.wav", SONG), file("quiet.wav", QUIET), file("a" * 90 + ".ogg", OTHER))
    ends(page, "0 of 3 files done, 3 to go")
    page.evaluate(
        """async () => {
            const frame = () => new Promise(requestAnimationFrame);
            await frame();
            await frame();  // the cards' own coming is drawn
            await new Promise((done) => setTimeout(done, 100));
            const start = performance.now();
            window.shift = 0;
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) if (entry.startTime > start) window.shift += entry.value;
            }).observe({ type: "layout-shift" });
        }"""
    )
    for route in held:
        route.continue_()
    ends(page, "3 of 3 files done")
    page.wait_for_timeout(100)
    assert page.evaluate("window.shift") < 0.01
    page.unroute("**/classify")
    choose(page, file("notes.txt", BROKEN))
    ends(page, "3 of 4 files done, 1 failed")
    assert page.evaluate(fits)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 18, 20)"
    assert dark == (scheme == "dark")
    check_with_axe(page)


def check_with_axe(page):
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


def test_answers_are_copied_and_saved_as_they_came(visit, client, tmp_path):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    choose(page, file("song.wav", SONG), file("notes.txt", BROKEN))
    ends(page, "1 of 2 files done, 1 failed")
    page.get_by_role("button", name="Copy as JSON: song.wav").click()
    expect(page.locator("#said")).to_have_text("Copied.")
    answer = asked_directly(client, SONG)
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied == answer
    everything = [
        {"file": "song.wav", **answer},
        {"file": "notes.txt", "status": 400, **asked_directly(client, BROKEN)},
    ]
    page.get_by_role("button", name="Copy all").click()
    expect(page.locator("#copy")).to_have_text("Copied")
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == everything
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "genres.json")
    assert json.loads((tmp_path / "genres.json").read_text()) == everything


def test_what_the_browser_cannot_play_has_its_timeline(visit):
    page = visit()
    choose(page, file("song.au", encode(tone(7), container="AU")))
    ends(page, "1 of 1 file done")
    song = card(page, "song.au")
    expect(song.get_by_text("This browser cannot decode this format")).to_be_visible()
    expect(song.get_by_role("button", name="Play")).to_be_disabled()
    expect(song.locator(".timeline span").first).to_be_visible()
    song.get_by_role("slider").press("ArrowRight")
    expect(song.get_by_role("slider")).to_have_attribute("aria-valuenow", "1")


def test_a_busy_service_is_asked_again(visit):
    page = visit()
    answers = [503, 503]
    busy = {"error": "The service is at its capacity: try again later."}

    def answer(route):
        if answers:
            route.fulfill(status=answers.pop(), json=busy, headers={"Retry-After": "1"})
        else:
            route.continue_()

    page.route("**/classify", answer)
    choose(page, file("song.wav", SONG))
    expect(card(page, "song.wav").locator(".status")).to_have_text(f"{busy['error']} Trying again in 1 s.")
    ends(page, "1 of 1 file done")
    assert answers == []


def test_a_service_that_is_gone_stops_the_queue_until_it_is_back(visit):
    page = visit()
    page.evaluate("() => { const real = setTimeout; window.setTimeout = (call, ms) => real(call, ms / 20); }")
    page.route("**/classify", lambda route: route.abort())
    choose(page, *[file(f"{number}.wav", SONG) for number in range(6)])
    ends(page, re.compile(r"0 of 6 files done, \d failed, \d stopped$"))  # how many were under way is chance
    sentence = "The service cannot be reached: try again in a moment."
    expect(page.locator(".card[data-state=failed] .status").first).to_have_text(sentence)
    page.unroute("**/classify")
    page.get_by_role("button", name="Go on").click()
    ends(page, "6 of 6 files done")


def test_stop_and_remove(visit):
    page = visit()
    held = []
    page.route("**/classify", lambda route: held.append(route))  # noqa: PLW0108 (it takes no builtin)
    choose(page, *[file(f"{number}.wav", SONG) for number in range(5)])
    ends(page, "0 of 5 files done, 5 to go")
    expect(card(page, "0.wav").locator(".status")).to_have_text("Uploading")
    expect(card(page, "4.wav").locator(".status")).to_have_text("Waiting")
    page.get_by_role("button", name="Stop").click()
    ends(page, "0 of 5 files done, 2 stopped, 3 to go")
    for route in held:
        route.continue_()
    ends(page, "3 of 5 files done, 2 stopped")
    held.clear()
    page.get_by_role("button", name="Go on").click()
    ends(page, "3 of 5 files done, 2 to go")
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator(".card")).to_have_count(0)
    expect(page.locator("#tools")).to_be_hidden()
    page.unroute("**/classify")
    choose(page, file("song.wav", SONG))
    ends(page, "1 of 1 file done")


def test_limits_are_told_before_the_file_is_sent(visit):
    page = visit()
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    choose(page, file("large.wav", bytes(9 * 2**20)), file("empty.mp3", b""))
    ends(page, "0 of 2 files done, 2 failed")
    expect(card(page, "large.wav").locator(".status")).to_have_text(re.compile("larger than 8 MiB"))
    assert len([url for url in sent if url.endswith("/classify")]) == 1


def test_other_labels_than_ten(visit, server):
    """Who trains a model of their own gets colours for its genres, as many as there are."""
    genres = [f"genre {number}" for number in range(23)]
    share = dict.fromkeys(genres, 1 / 23)
    model = httpx.get(f"{server.url}/model").json() | {"labels": genres}
    segments = [
        {"start": 3.0 * n, "end": 3.0 * n + 3, "genre": genre, "probabilities": share} for n, genre in enumerate(genres)
    ]
    answer = {
        "genre": genres[0], "confidence": 1 / 23, "uncertain": True, "duration": 69.0, "aggregate": "vote",
        "probabilities": share, "votes": dict.fromkeys(genres, 1), "segments": segments, "model": {},
    }  # fmt: skip
    page = visit()
    page.route("**/model", lambda route: route.fulfill(json=model))
    page.route("**/classify", lambda route: route.fulfill(json=answer))
    page.reload()
    expect(page.locator("#labels li")).to_have_count(23)
    choose(page, file("song.wav", encode(np.tile(tone(3), 23))))
    ends(page, "1 of 1 file done")
    expect(page.locator(".pill")).to_have_text("not sure")
    expect(page.locator(".pill")).to_be_visible()
    colours = page.locator(".timeline span").evaluate_all("all => all.map(e => getComputedStyle(e).backgroundColor)")
    assert len(set(colours)) == 23
    check_with_axe(page)


def test_a_key_is_asked_for_and_kept_for_the_tab(visit, server):
    """Another one is asked for where it is wrong."""
    page = visit()
    sent = []

    def guard(route):
        given = route.request.headers.get("authorization")
        sent.append(given)
        if given == "Bearer right":
            route.continue_()
        else:
            route.fulfill(status=401, json={"error": "A key is needed."}, headers={"WWW-Authenticate": "Bearer"})

    for address in ("**/model", "**/classify"):
        page.route(address, guard)
    page.reload()
    key = page.get_by_label("This service asks for a key:")
    expect(key).to_be_focused()
    choose(page, file("song.wav", SONG))
    expect(card(page, "song.wav").locator(".status")).to_have_text("A key is needed.")
    key.fill("wrong")
    key.press("Enter")
    again = page.get_by_label("The service does not take this key. Another one:")
    again.fill("right")
    page.get_by_role("button", name="Use it").click()
    ends(page, "1 of 1 file done")
    expect(page.locator("#access")).to_be_hidden()
    expect(page.locator("#model")).to_contain_text("Model")
    page.reload()
    expect(page.locator("#model")).to_contain_text("Model")
    assert sent[0] is None
    assert {"Bearer wrong", "Bearer right"} <= set(sent)
    assert sent[-1] == "Bearer right"
    assert page.evaluate("localStorage.length + document.cookie.length") == 0
