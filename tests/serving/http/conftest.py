"""A browser, and a window of it that opens the page."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.support.page import ARGUMENTS, CHROMIUM, DESKTOP, SECONDS


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
        page.on("dialog", lambda dialog: dialog.accept())  # it asks before answers are left
        page.goto(server.url)
        expect(page.locator("#model")).to_contain_text("Model")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert foreign == []
