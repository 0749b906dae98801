"""The page in a real browser, against a real server with the model that ships: files in, answers out."""

import json
import re

import pytest
from playwright.sync_api import expect

from genre_classifier.audio.suffixes import AUDIO_SUFFIXES
from tests.support import ROOT
from tests.support.chromium import CHROMIUM
from tests.support.page import (
    BROKEN,
    CUT,
    OTHER,
    SONG,
    asked_directly,
    card,
    choose,
    ends,
    file,
    note_states,
    noted_states,
    percent,
    plain,
    transferred,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")


def test_a_song_is_dropped(visit, client):
    page = visit()
    content = (ROOT / "artifacts" / "sample.mp3").read_bytes()
    transfer = transferred(page, "sample.mp3", content)
    note_states(page)
    page.dispatch_event("footer", "dragover", {"dataTransfer": transfer})
    expect(page.locator("body")).to_have_class(re.compile("over"))
    page.dispatch_event("footer", "drop", {"dataTransfer": transfer})
    ends(page, "1 of 1 file done")
    statuses = noted_states(page)
    assert {"Uploading", "Listening"} <= {status.split()[0] for status in statuses}
    answer = asked_directly(client, content)
    sample = card(page, "sample.mp3")
    expect(sample.locator(".genre")).to_have_text(answer["genre"])
    expect(sample.locator(".status")).to_have_text(f"{percent(answer['confidence'])} confidence")
    expect(sample.get_by_text("none of these", exact=True)).to_be_visible(visible=not answer["recognised"])
    expect(sample.locator(".why").first).to_have_text(re.compile("None of these: it sounds unlike"))
    sample.get_by_role("button", name="All 10 genres").click()
    bars = [plain(text) for text in sample.locator(".bars li").all_text_contents()]
    assert sample.locator(".tags li").all_text_contents() == list(answer["tags"])
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
    page = visit((1280, 2000))
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(tmp_path / "album")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    ends(page, "4 of 4 files done")
    names = ["album/0.wav", "album/1.wav", "album/2.wav", "album/disc 2/last.wav"]
    assert page.locator(".card h3").all_text_contents() == names
    page.locator("#folder").set_input_files(tmp_path / "album")
    expect(page.locator("#noticed")).to_have_text("4 files are here already.")
    choose(page, tmp_path / "album" / "1.wav")  # by itself it is the same file
    expect(page.locator("#noticed")).to_have_text("1 file is here already.")
    ends(page, "4 of 4 files done")


def test_a_broken_file_stops_no_other(visit, client):
    page = visit()
    nasty = "<img src=x onerror=alert(1)>.wav"
    choose(page, file(nasty, SONG), file("notes.txt", BROKEN), file("cut.mp3", CUT), file("song.ogg", OTHER))
    ends(page, "3 of 4 files done, 1 failed")
    sentence = asked_directly(client, BROKEN)["error"]
    broken = card(page, "notes.txt")
    expect(broken.locator(".error")).to_have_text(sentence)
    expect(card(page, nasty).locator(".genre")).to_be_visible()
    expect(card(page, "song.ogg").locator(".genre")).to_be_visible()
    cut = card(page, "cut.mp3")
    expect(cut.locator(".why.damage")).to_have_text(asked_directly(client, CUT)["warning"])
    expect(cut.get_by_text("damaged", exact=True)).to_be_visible()
    expect(broken.get_by_role("button", name="Try again")).to_be_hidden()  # it would be refused again
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
    expect(page.locator("#noticed")).to_have_text("2 files skipped, no music or not to be read.")
    assert page.locator("h3").all_text_contents() == ["album/2 first.wav", "album/10 last.wav"]


def test_a_folder_s_music_is_the_command_line_s():
    script = (ROOT / "serving" / "http" / "page" / "intake.js").read_text()
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
    expect(page.locator("#filters").get_by_text("failed")).to_be_hidden()


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
        page.get_by_role("button", name="Save as JSON").click()
    download.value.save_as(tmp_path / "genres.json")
    assert json.loads((tmp_path / "genres.json").read_text()) == everything
