"""The player of an open card: sound, waveform and timeline, by pointer and by keyboard."""

import re
from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.support.audio import encode, tone
from tests.support.chromium import CHROMIUM
from tests.support.page import (
    BROKEN,
    OTHER,
    PHONE,
    QUIET,
    SONG,
    asked_directly,
    card,
    choose,
    ends,
    file,
    percent,
    position,
    until,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")


def test_names_of_segments_are_whole_or_not_there(visit):
    page = visit(PHONE)
    choose(page, file("song.ogg", OTHER))
    ends(page, "1 of 1 file done")
    cut = """all => all.filter(each => getComputedStyle(each.firstChild).visibility === "visible"
                                   && each.firstChild.offsetWidth > each.clientWidth).length"""
    assert page.locator(".timeline span").evaluate_all(cut) == 0
    assert page.locator(".timeline i").count() > 0


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

    tab_to("button", "All 10 genres")
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
        expect(slider).to_have_attribute("aria-valuetext", re.compile(rf"{seconds} of 7 seconds, {genre} \d+\s%"))
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause song.wav")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play song.wav")).to_be_visible()
    page.route("**/classify", lambda route: route.fulfill(status=500, json={"error": "A fault."}))
    choose(page, file("unlucky.wav", OTHER))
    ends(page, "1 of 3 files done, 2 failed")
    page.unroute("**/classify")
    tab_to("button", "Try again: unlucky.wav")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="unlucky.wav", exact=True)).to_be_focused()
    ends(page, "2 of 3 files done, 1 failed")
    tab_to("button", "Remove unlucky.wav")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove song.wav")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove notes.txt")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#files")).to_be_focused()
    expect(page.locator(".card")).to_have_count(0)


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


def test_what_is_pointed_at_is_read(visit, client):
    """The time, and that segment's most probable genres; the player stays where it is."""
    page = visit()
    choose(page, file("song.ogg", OTHER))
    ends(page, "1 of 1 file done")
    segments = asked_directly(client, OTHER)["segments"]
    readout = card(page, "song.ogg").locator(".readout")
    box = card(page, "song.ogg").get_by_role("slider").bounding_box()
    for time, place in ((0.5, 0), (4.5, 1), (9.9, 3)):
        page.mouse.move(box["x"] + box["width"] * time / 10, box["y"] + box["height"] - 5)
        first = list(segments[place]["probabilities"].items())[:3]
        genres = ", ".join(f"{genre} {percent(share)}" for genre, share in first)
        expect(readout).to_have_text(f"0:0{int(time)} / 0:10 {genres}")
    page.mouse.move(0, 0)
    expect(readout).to_have_text(re.compile("^0:00 / 0:10"))
