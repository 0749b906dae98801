"""The page in a real browser: files to give it, and what to look at."""

import re
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import expect

from genre_classifier.audio import SAMPLE_RATE
from tests.support.audio import encode, tone

SECONDS = 15_000  # milliseconds that an expectation may take
expect.set_options(timeout=SECONDS)
DESKTOP, PHONE, SMALL_PHONE = (1280, 800), (375, 667), (320, 568)

SONG = encode(tone(7))
OTHER = encode(tone(10, 90), container="OGG")
QUIET = tone(13)
QUIET[3 * SAMPLE_RATE : 6 * SAMPLE_RATE] = 0  # its second segment is silent, and its last overlaps the one before
QUIET = encode(QUIET)
MP3 = encode(tone(6), container="MP3")
CUT = MP3[: len(MP3) * 3 // 4]
BROKEN = b"no music"


@contextmanager
def visits(browser, url):
    """Opens the page in a window of its own; in the end nothing went wrong there, and nobody else was asked."""
    complaints, foreign, contexts = [], [], []

    def told(message):
        refused = message.location["url"].endswith(("/classify", "/model"))  # a browser reports every 4xx as an error
        if message.type in {"error", "warning"} and not refused:
            complaints.append(message.text)

    def asked(request):
        if urlsplit(request.url).scheme not in {"data", "blob"} and not f"{request.url}/".startswith(f"{url}/"):
            foreign.append(request.url)

    def open_page(size=DESKTOP, **options):
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", told)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", asked)
        page.on("dialog", lambda dialog: dialog.accept())  # it asks before answers are left
        page.goto(url)
        expect(page.locator("#model")).to_contain_text("Model")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == [], complaints
    assert foreign == [], foreign


def transferred(page, name, content):
    """What a drop of a file carries."""
    return page.evaluate_handle(
        """([name, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "audio/mpeg" }));
            return transfer;
        }""",
        [name, list(content)],
    )


def note_states(page):
    """Note from now on every state that a file is in, also those that pass too fast to be seen."""
    page.evaluate(
        """() => {
            window.states = new Set();
            new MutationObserver(() => {
                for (const each of document.querySelectorAll(".state")) window.states.add(each.textContent);
            }).observe(document.body, { childList: true, subtree: true });
        }"""
    )


def noted_states(page):
    """Those that were noted, as they are written."""
    return page.evaluate("[...window.states]")


def file(name, content):
    return {"name": name, "mimeType": "", "buffer": content}


def choose(page, *files):
    page.locator("#files").set_input_files(list(files))


def card(page, name):
    return page.locator(".card").filter(has=page.get_by_role("heading", name=name, exact=True))


def ends(page, summary):
    expect(page.locator("#summary")).to_have_text(summary)


def until(page, true, seconds=SECONDS / 1000):
    """Waits for what the browser tells this process, not the page."""
    end = time.monotonic() + seconds
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


def check_with_axe(page):
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


ANSWER_HERE = """(answer) => {
    window.XMLHttpRequest = class {
        upload = {};
        open() {}
        setRequestHeader() {}
        getResponseHeader() { return null; }
        abort() {}
        send(body) {
            const number = parseInt(body.get("audio").name.match(/\\d+/)?.[0] ?? "0");
            const labels = Object.keys(answer.probabilities);
            const genre = labels[number % labels.length];
            const confidence = 0.3 + (number % 70) / 100;
            const duration = 30 + number;
            const segments = [{ start: 0, end: 3, genre, probabilities: answer.probabilities }];
            const own = { genre, confidence, duration, segments, votes: { [genre]: 1 }, uncertain: number % 2 === 1 };
            setTimeout(() => {
                Object.assign(this, { status: 200, response: { ...answer, recognised: true, ...own } });
                this.onloadend();
            });
        }
    };
}"""


def answer_here(page, client):
    """Have the page answer for itself, at once, by the number in a file's name: genre, confidence, length and doubt."""
    page.evaluate(ANSWER_HERE, asked_directly(client, SONG))
