"""The page at every size, in both schemes, and its colours."""

import httpx
import numpy as np
import pytest
from playwright.sync_api import expect

from tests.support.audio import encode, tone
from tests.support.chromium import CHROMIUM
from tests.support.page import (
    BROKEN,
    DESKTOP,
    OTHER,
    PHONE,
    QUIET,
    SMALL_PHONE,
    SONG,
    card,
    check_with_axe,
    choose,
    ends,
    file,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_longest_genre_stands_on_one_line(visit, width):
    page = visit((width, 800))
    choose(page, file("song.ogg", OTHER))
    ends(page, "1 of 1 file done")
    genre = page.locator("p.genre")
    one = genre.evaluate("genre => (genre.textContent = 'pop', genre.offsetHeight)")
    assert genre.evaluate("genre => (genre.textContent = 'classical', genre.offsetHeight)") == one


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, (900, 700), PHONE, SMALL_PHONE])
def test_every_size_in_both_schemes(visit, size, scheme):
    """Nothing is wider than the window, no row moves when an answer comes, and axe finds nothing."""
    page = visit(size, color_scheme=scheme)
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(fits)
    check_with_axe(page)
    held, released = [], []
    page.route("**/classify", lambda route: route.continue_() if released else held.append(route))
    songs = [file(name, SONG) for name in ("song.wav", "second.wav", "third.wav")]
    choose(page, *songs, file("quiet.wav", QUIET), file("a" * 90 + ".ogg", OTHER))
    ends(page, "0 of 5 files done, 5 to go")
    one_line = 72 if size[0] < 640 else 48  # with what it waits for below the name on a phone
    assert {row.bounding_box()["height"] for row in page.locator(".card").all()} == {one_line + 6}
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
    released.append(True)
    for route in held:
        route.continue_()
    ends(page, "5 of 5 files done")
    page.wait_for_timeout(100)
    assert page.evaluate("window.shift") < 0.01
    choose(page, file("notes.txt", BROKEN), file("other.ogg", OTHER))
    ends(page, "6 of 7 files done, 1 failed")
    page.locator(".open").last.click()
    assert page.evaluate(fits)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 18, 20)"
    assert dark == (scheme == "dark")
    check_with_axe(page)


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
    expect(page.get_by_text("not sure", exact=True)).to_be_visible()
    colours = page.locator(".timeline span").evaluate_all("all => all.map(e => getComputedStyle(e).backgroundColor)")
    assert len(set(colours)) == 23
    check_with_axe(page)


LONG = "a" * 180 + " the end of the name.wav"
ARABIC, JAPANESE = "أغنية قديمة جدا.wav", "とても古い歌の名前とても古い歌の名前.wav"


@pytest.mark.parametrize("size", [DESKTOP, SMALL_PHONE])
def test_names_stay_in_their_place(visit, size):
    """However long, and in whatever script, a name stands at the start of its row, on one line."""
    page = visit(size)
    choose(page, *[file(name, SONG) for name in (LONG, ARABIC, JAPANESE, "song.wav", "5.wav")])
    ends(page, "5 of 5 files done")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    place = """button => {
        const range = document.createRange();
        range.selectNodeContents(button.querySelector(".base"));
        const { left, right, height } = range.getBoundingClientRect();
        const box = button.getBoundingClientRect();
        const shown = button.querySelector(".base").getBoundingClientRect().right;
        return [left - box.left, height, Math.min(right, shown) - box.right];
    }"""
    starts, heights, ends_at = zip(*page.locator(".open").evaluate_all(f"all => all.map({place})"), strict=True)
    assert max(starts) - min(starts) < 2
    assert max(ends_at) <= 1
    assert max(heights) < 30
    for name in (LONG, ARABIC, JAPANESE):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()


def test_who_wants_no_motion_has_none(visit):
    page = visit(reduced_motion="reduce")
    held = []
    page.route("**/classify", lambda route: held.append(route))  # noqa: PLW0108 (it takes no builtin)
    choose(page, file("song.wav", SONG))
    bar = card(page, "song.wav").locator("progress")
    expect(bar).to_be_visible()
    moving = "e => [getComputedStyle(e).animationName, getComputedStyle(e).transitionProperty]"
    assert bar.evaluate(moving)[0] == "none"
    assert page.locator(".open svg").evaluate(moving)[1] == "none"


@pytest.mark.parametrize("path", ["about", "docs"])
@pytest.mark.parametrize("size", [DESKTOP, SMALL_PHONE])
def test_pages_to_be_read(visit, server, path, size):
    page = visit(size)
    page.locator("footer").get_by_role("link").nth(["about", "docs"].index(path)).click()
    expect(page).to_have_url(f"{server.url}/{path}")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    check_with_axe(page)
    page.get_by_role("link", name="Which genre is it?").click()
    expect(page.locator("#model")).to_contain_text("Model")
