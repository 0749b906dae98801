"""How the page asks: few at a time, again where the service is busy or gone, with a key."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.audio import encode, tone
from tests.support.chromium import CHROMIUM
from tests.support.page import BROKEN, SONG, card, choose, ends, file

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")


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
    expect(card(page, "song.wav").locator(".error")).to_have_text(f"{busy['error']} Trying again in 1 s.")
    ends(page, "1 of 1 file done")
    assert answers == []


def test_a_service_that_is_gone_stops_the_queue_until_it_is_back(visit):
    page = visit()
    page.evaluate("() => { const real = setTimeout; window.setTimeout = (call, ms) => real(call, ms / 20); }")
    page.route("**/classify", lambda route: route.abort())
    choose(page, *[file(f"{number}.wav", SONG) for number in range(6)])
    ends(page, re.compile(r"0 of 6 files done, \d failed, \d stopped$"))  # how many were under way is chance
    sentence = "The service cannot be reached: try again in a moment."
    expect(page.locator(".card[data-state=failed] .error").first).to_have_text(sentence)
    page.unroute("**/classify")
    page.get_by_role("button", name="Go on").click()
    ends(page, "6 of 6 files done")
    page.route("**/classify", lambda route: route.abort())
    choose(page, *[file(f"later {number}.wav", SONG) for number in range(6)])
    ends(page, re.compile(r"6 of 12 files done, \d failed, \d stopped$"))
    page.unroute("**/classify")
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    page.get_by_role("button", name="Go on").click()
    ends(page, "12 of 12 files done")
    assert len([url for url in sent if url.endswith("/classify")]) == 6  # none that is done already


def test_stop_and_remove(visit):
    page = visit()
    held = []
    page.route("**/classify", lambda route: held.append(route))  # noqa: PLW0108 (it takes no builtin)
    choose(page, *[file(f"{number}.wav", SONG) for number in range(5)])
    ends(page, "0 of 5 files done, 5 to go")
    expect(card(page, "0.wav").locator(".state")).to_have_text("Uploading")
    expect(card(page, "4.wav").locator(".state")).to_have_text("Waiting")
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
    expect(card(page, "large.wav").locator(".error")).to_have_text(re.compile("larger than 8 MiB"))
    assert len([url for url in sent if url.endswith("/classify")]) == 1


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
    expect(card(page, "song.wav").locator(".error")).to_have_text("A key is needed.")
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
