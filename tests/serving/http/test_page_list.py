"""The list of files: rows that open, sort and are searched; thousands of them; ways back."""

import csv
import io
import subprocess
import sys
from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.support.chromium import CHROMIUM
from tests.support.page import (
    BROKEN,
    OTHER,
    PHONE,
    SECONDS,
    SONG,
    answer_here,
    asked_directly,
    card,
    choose,
    ends,
    file,
    until,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")

MANY = 2000
MOST_CARDS = 60  # that there may be at a time, on a desktop


def names(page):
    """The names of the cards there are, in the order of the list."""
    return page.locator(".card h3").all_text_contents()


def sort(page, by):
    page.locator("#sort").get_by_role("button", name=by).click()


def many(number):
    return [file(f"song {n}.wav", b"%d" % n) for n in range(number)]


def test_rows_open_into_cards(visit, client):
    page = visit()
    answer_here(page, client)
    choose(page, *many(6))
    ends(page, "6 of 6 files done")
    expect(page.locator(".detail:visible")).to_have_count(0)  # more than a few are rows
    row = card(page, "song 3.wav")
    assert row.bounding_box()["height"] < 60
    toggle = row.get_by_role("button", name="song 3.wav", exact=True)
    expect(toggle).to_have_attribute("aria-expanded", "false")
    toggle.press("Enter")
    expect(toggle).to_have_attribute("aria-expanded", "true")
    expect(row.get_by_role("slider")).to_be_visible()
    below = card(page, "song 4.wav")
    until(page, lambda: below.bounding_box()["y"] >= row.bounding_box()["y"] + row.bounding_box()["height"] - 1)
    row.locator(".sure").click()  # anywhere in the row
    expect(row.locator(".detail")).to_be_hidden()
    choose(page, file("other.wav", SONG))
    expect(card(page, "other.wav").get_by_role("slider")).to_be_visible()  # one by itself is open


def test_rows_sort(visit, client):
    page = visit()
    answer_here(page, client)
    choose(page, *[file(f"{n} song.wav", b"1") for n in (71, 9, 100, 5, 10)])
    ends(page, "5 of 5 files done")
    added = [f"{n} song.wav" for n in (71, 9, 100, 5, 10)]
    assert names(page) == added
    sort(page, "Name")
    assert names(page) == [f"{n} song.wav" for n in (5, 9, 10, 71, 100)]
    expect(page.locator("#said")).to_have_text("Sorted by name, ascending.")
    sort(page, "Name")
    assert names(page) == [f"{n} song.wav" for n in (100, 71, 10, 9, 5)]
    sort(page, "Name")
    assert names(page) == added
    sort(page, "Length")
    assert names(page) == [f"{n} song.wav" for n in (100, 71, 10, 9, 5)]
    sort(page, "Confidence")  # 0.3 and a hundredth for each of the number modulo 70
    assert names(page) == [f"{n} song.wav" for n in (100, 10, 9, 5, 71)]
    sort(page, "Genre")
    genres = page.locator(".row .state").all_text_contents()
    assert genres == sorted(genres)
    expect(page.get_by_role("button", name="Genre")).to_have_attribute("aria-pressed", "true")


def test_rows_are_searched(visit, client):
    page = visit()
    answer_here(page, client)
    choose(page, *[file(name, b"1") for name in ("Café 1.wav", "cafe 2.wav", "bar 3.wav", "Straße 4.wav", "Tea 5.wav")])
    ends(page, "5 of 5 files done")
    page.get_by_label("Search names").fill("CAFE")
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator("#said")).to_have_text("2 files shown: all.")
    page.get_by_label("Search names").fill("cafe 2")
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_label("Search names").fill("nowhere")
    expect(page.locator(".card")).to_have_count(0)
    expect(page.get_by_text("No file has these words in its name.")).to_be_visible()
    page.get_by_label("Search names").fill("")
    expect(page.locator(".card")).to_have_count(5)


@pytest.mark.parametrize("size", [(1280, 800), PHONE])
def test_thousands_have_as_many_cards_as_fit(visit, client, size):
    page = visit(size)
    answer_here(page, client)
    choose(page, *many(MANY))
    ends(page, f"{MANY} of {MANY} files done")
    assert 0 < page.locator(".card").count() < MOST_CARDS
    row = page.locator(".card").first.bounding_box()["height"]
    assert page.locator("#tracks").bounding_box()["height"] == pytest.approx(MANY * row, rel=0.01)
    expect(page.locator(".card").first).to_have_attribute("aria-setsize", str(MANY))
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    last = card(page, f"song {MANY - 1}.wav")
    expect(last).to_be_in_viewport()
    expect(last).to_have_attribute("aria-posinset", str(MANY))
    assert page.locator(".card").count() < MOST_CARDS
    labels = list(asked_directly(client, SONG)["probabilities"])
    chosen = page.locator("#filters").get_by_role("button", name=labels[7], exact=False)
    expect(chosen).to_contain_text(str(MANY // len(labels)))
    chosen.click()
    expect(page.locator("#said")).to_have_text(f"{MANY // len(labels)} files shown: {labels[7]}.")
    expect(page.locator(".card").first).to_have_attribute("aria-setsize", str(MANY // len(labels)))
    assert set(page.locator(".row .state").all_text_contents()) == {labels[7]}
    widths = page.locator("#shares span").evaluate_all("all => all.map(e => e.getBoundingClientRect().width)")
    assert widths == pytest.approx([widths[0]] * len(labels), abs=1)  # as many of each


def test_what_is_removed_comes_back(visit, client, tmp_path):
    songs = [tmp_path / f"song {number}.wav" for number in range(6)]
    for song in songs:
        song.write_bytes(SONG)
    page = visit()
    answer_here(page, client)
    choose(page, *songs)
    ends(page, "6 of 6 files done")
    before = names(page)
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#noticed")).to_have_text("6 files are removed.")
    expect(page.locator(".card")).to_have_count(0)
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.get_by_role("button", name="Undo").press("Enter")
    ends(page, "6 of 6 files done")
    assert names(page) == before
    expect(page.locator("#notice")).to_be_hidden()
    page.get_by_role("button", name="Remove song 2.wav").click()
    expect(page.locator(".card")).to_have_count(5)
    choose(page, file("late 7.wav", b"7"))
    expect(page.locator(".card")).to_have_count(6)
    choose(page, *songs)  # those that are here are not taken twice, and the one that was removed is
    ends(page, "7 of 7 files done")
    expect(page.locator("#told")).to_have_text("5 files are here already.")
    expect(page.locator("#noticed")).to_have_text("song 2.wav is removed. 5 files are here already.")
    page.get_by_role("button", name="Undo").click()  # still offered; it is here again already
    expect(page.locator("#notice")).to_be_hidden()
    ends(page, "7 of 7 files done")


def test_what_was_under_way_goes_on_when_it_is_back(visit):
    page = visit()
    held = []
    page.route("**/classify", lambda route: held.append(route))  # noqa: PLW0108 (it takes no builtin)
    choose(page, *[file(f"{n}.wav", SONG) for n in range(5)])
    ends(page, "0 of 5 files done, 5 to go")
    page.get_by_role("button", name="Remove all").click()
    page.unroute("**/classify")
    page.get_by_role("button", name="Undo").click()
    ends(page, "5 of 5 files done")


def test_answers_are_not_left_by_accident(visit):
    """The browser asks first; not where there is no answer, nor when all were saved."""
    page = visit()
    asked = []
    page.on("dialog", lambda dialog: asked.append(dialog.type))
    page.get_by_role("button", name="Try a sample").click()
    ends(page, "1 of 1 file done")
    page.reload()
    until(page, lambda: asked)
    assert asked == ["beforeunload"]
    page.get_by_role("button", name="Try a sample").click()
    ends(page, "1 of 1 file done")
    with page.expect_download():
        page.get_by_role("button", name="Save as CSV").click()
    page.reload()
    expect(page.locator("#model")).to_contain_text("Model")
    assert asked == ["beforeunload"]


def test_the_csv_is_the_command_line_s(visit, tmp_path):
    contents = {'a, "song".wav': SONG, "other.ogg": OTHER, "broken.wav": BROKEN}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    page = visit()
    choose(page, *[tmp_path / name for name in contents])
    ends(page, "2 of 3 files done, 1 failed")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    here = list(csv.reader(io.StringIO(download.value.path().read_text())))
    run = subprocess.run(
        [sys.executable, "-m", "genre_classifier", "--csv", *contents],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    there = list(csv.reader(io.StringIO(run.stdout)))
    assert here[0] == there[0]
    rows = {row[0]: row for row in here[1:]}
    for row in there[1:]:
        mine = rows.pop(row[0])
        assert mine[1:2] + mine[3:5] == row[1:2] + row[3:5]
        assert bool(mine[7]) == bool(row[7])
        numbers = [(a, b) for place, (a, b) in enumerate(zip(mine, row, strict=True)) if place in {2, 5} or place > 7]
        assert all((not a and not b) or float(a) == pytest.approx(float(b), abs=2e-6) for a, b in numbers)
    assert rows == {}


def test_another_back_end_takes_the_place_of_the_service(visit):
    """What asks for an answer is one module with one function."""
    page = visit()
    answer = """{ genre: "polka", confidence: 0.5, uncertain: false, duration: 7, aggregate: "vote",
        votes: { polka: 1 }, probabilities: { polka: 0.5, waltz: 0.5 }, segments: [{ start: 0, end: 3, genre: "polka",
        probabilities: { polka: 0.5, waltz: 0.5 } }] }"""
    model = """{ version: "9", provider: "Here", labels: ["polka", "waltz"], chunk_samples: 66150, sample_rate: 22050,
        uncertain_below: 0.1, limits: { max_upload_mb: 1, max_seconds: 60 } }"""
    module = f"""
        export const ask = async () => ({{ kind: "answered", answer: {answer} }});
        export const SENDING = "Sending";
        export const describe = async () => ({{ kind: "answered", model: {model} }});
    """
    page.route("**/page/service.js", lambda route: route.fulfill(body=module, content_type="text/javascript"))
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    expect(page.locator("#model")).to_contain_text("Model 9 on Here", timeout=SECONDS)
    choose(page, file("song.wav", SONG))
    expect(card(page, "song.wav").locator(".genre")).to_have_text("polka")
    assert not [url for url in asked if url.endswith(("/classify", "/model"))]


def test_without_scripts_it_says_what_it_needs(chromium, client):
    """As a browser without scripts parses it: one that only stops them takes what is said for text."""
    page = chromium.new_page()
    parse = "html => new DOMParser().parseFromString(html, 'text/html').querySelector('noscript p').textContent"
    assert page.evaluate(parse, client.get("/").text).startswith("This page needs JavaScript.")
    page.close()


def test_what_is_searched_for_goes_with_its_box(visit, client):
    page = visit()
    answer_here(page, client)
    choose(page, file("apple.wav", b"1"), file("berry.wav", b"1"))
    ends(page, "2 of 2 files done")
    page.get_by_label("Search names").fill("apple")
    page.get_by_role("button", name="Remove apple.wav").click()
    expect(page.get_by_label("Search names")).to_be_hidden()
    expect(card(page, "berry.wav")).to_be_visible()


def test_open_cards_do_not_overlap_in_another_window(visit, client):
    page = visit((1500, 1200))
    answer_here(page, client)
    choose(page, *many(3))
    ends(page, "3 of 3 files done")
    page.get_by_role("button", name="All 10 genres").first.click()
    for width in (1450, 1600, 700, 1500):  # the list itself is as wide in most of them
        page.set_viewport_size({"width": width, "height": 1200})
        page.wait_for_timeout(200)
        boxes = [each.bounding_box() for each in page.locator(".card").all()]
        for above, below in pairwise(boxes):
            assert above["y"] + above["height"] == pytest.approx(below["y"], abs=1)


def test_the_keyboard_stays_near_what_goes(visit):
    """Under a filter, "Try again" takes a file out of sight; and a lone file ends while Stop has the keyboard."""
    page = visit()
    page.route("**/classify", lambda route: route.fulfill(status=500, json={"error": "A fault."}))
    choose(page, file("a.wav", SONG), file("b.wav", OTHER))
    ends(page, "0 of 2 files done, 2 failed")
    page.get_by_role("button", name="failed 2").click()
    held = []
    page.unroute("**/classify")
    page.route("**/classify", lambda route: held.append(route))  # noqa: PLW0108 (it takes no builtin)
    page.get_by_role("button", name="Try again: a.wav").press("Enter")
    expect(page.get_by_role("button", name="Remove b.wav")).to_be_focused()
    page.get_by_role("button", name="Remove b.wav").press("Enter")
    page.locator("#stop").focus()
    until(page, lambda: held)
    held[0].continue_()
    ends(page, "1 of 1 file done")
    expect(page.locator("#copy")).to_be_focused()
