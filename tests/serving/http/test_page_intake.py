"""What comes in: folders, drops that cannot be read whole, the sample."""

import re

import pytest
from playwright.sync_api import expect

from tests.support import ROOT
from tests.support.chromium import CHROMIUM
from tests.support.page import BROKEN, answer_here, asked_directly, card, ends

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")


def test_the_sample_is_one_click(visit, client):
    page = visit()
    page.get_by_role("button", name="Try a sample").click()
    ends(page, "1 of 1 file done")
    answer = asked_directly(client, (ROOT / "artifacts" / "sample.mp3").read_bytes())
    expect(card(page, "sample.mp3").locator(".genre")).to_have_text(answer["genre"])
    expect(page.get_by_role("button", name="Try a sample")).to_be_hidden()


def test_a_folder_without_music_says_so(visit, tmp_path):
    for name in ("cover.jpg", "list.m3u"):
        (tmp_path / name).write_bytes(BROKEN)
    page = visit()
    page.locator("#folder").set_input_files(tmp_path)
    expect(page.locator("#noticed")).to_have_text(re.compile("^There is no music in it: 2 files skipped"))
    expect(page.locator("#noticed")).to_be_visible()
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator("#notice")).to_be_hidden()


DROP = """() => {
    const fail = (_, refuse) => refuse(new Error("no permission"));
    const entry = (fullPath, file) => ({ isFile: true, name: fullPath.split("/").at(-1), fullPath, file });
    const song = (name) => entry(name, (give) => give(new File(["1"], name.split("/").at(-1))));
    const folder = (fullPath, readEntries) => ({
        isDirectory: true, name: fullPath.split("/").at(-1), fullPath, createReader: () => ({ readEntries }),
    });
    const within = [[song("/a/song 1.wav"), entry("/a/gone.wav", fail), folder("/a/closed", fail)], []];
    const entries = [folder("/a", (give) => give(within.shift())), song("/alone 2.wav")];
    const items = entries.map((each) => ({ kind: "file", webkitGetAsEntry: () => each }));
    const drop = new Event("drop", { bubbles: true, cancelable: true });
    drop.dataTransfer = { types: ["Files"], items, files: [] };
    document.body.dispatchEvent(drop);
}"""


def test_what_cannot_be_read_of_a_drop_costs_no_other(visit, client):
    page = visit()
    answer_here(page, client)
    page.evaluate(DROP)
    ends(page, "2 of 2 files done")
    assert sorted(page.locator(".card h3").all_text_contents()) == ["a/song 1.wav", "alone 2.wav"]
    expect(page.locator("#told")).to_have_text("2 files skipped, no music or not to be read.")


def test_a_file_that_cannot_be_read_is_not_tried_again(visit):
    page = visit()
    page.route("**/classify", lambda route: route.abort())
    page.evaluate(
        """() => {
            const file = new File(["1"], "moved.wav");
            file.slice = () => ({ arrayBuffer: () => Promise.reject(new Error("moved")) });
            const item = { kind: "file", webkitGetAsEntry: () => null };
            const drop = new Event("drop", { bubbles: true, cancelable: true });
            drop.dataTransfer = { types: ["Files"], items: [item], files: [file] };
            document.body.dispatchEvent(drop);
        }"""
    )
    ends(page, "0 of 1 file done, 1 failed")
    expect(card(page, "moved.wav").locator(".error")).to_contain_text("cannot be read")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    expect(page.locator("#stop")).to_be_disabled()
