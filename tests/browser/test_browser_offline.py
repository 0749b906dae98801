"""The built site without a network, and as an application that is installed."""

import hashlib
import json
import shutil

from playwright.sync_api import expect

from browser.build import build
from genre_classifier.models import MODELS
from tests.support.chromium import ARGUMENTS, CHROMIUM
from tests.support.page import SONG, choose, ends, file, until
from tests.support.web import WebServer

UPDATE_SECONDS = 60  # a browser looks for a new version when it has nothing else to do
CONTROLLED = "navigator.serviceWorker.controller !== null"
KEPT = """async () => {
    const names = await caches.keys();
    const kept = await Promise.all(names.map(async (name) => (await (await caches.open(name)).keys()).length));
    return kept.reduce((sum, each) => sum + each, 0);
}"""


def open_page(context, url):
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#model")).to_contain_text("Model ")
    return page


def visit(context, url, site):
    """A first visit, which lasts until the browser has kept the whole site."""
    page = open_page(context, url)
    until(page, lambda: page.evaluate(KEPT) == len([path for path in site.rglob("*") if path.is_file()]) - 1)
    return page


def classify_sample(page):
    page.get_by_role("button", name="Try a sample").click()
    ends(page, "1 of 1 file done")
    expect(page.locator(".genre")).to_have_text("jazz")


def large(host):
    return [path for path, status in host.given if path.endswith((".wasm", ".onnx")) and status == 200]


def test_after_the_first_visit_it_needs_no_network(chromium, host, url, site):
    """Nothing large is fetched twice, and from the second visit on the site is isolated, so that it has threads."""
    context = chromium.new_context()
    first = visit(context, url, site)
    assert sorted(path.rpartition("/")[2] for path in large(host)) == ["genre.onnx", "runtime.wasm"]
    first.close()
    host.close()
    context.set_offline(True)
    page = open_page(context, f"{url}/")
    assert page.evaluate(CONTROLLED)
    assert page.evaluate("crossOriginIsolated")
    classify_sample(page)
    choose(page, file("song.wav", SONG))
    ends(page, "2 of 2 files done")
    page.get_by_role("link", name="What the model is").click()
    expect(page.get_by_role("heading", name="How good it is")).to_be_visible()
    page.get_by_role("link", name="Which genre is it?").click()
    expect(page.locator("#model")).to_contain_text("Model ")
    page.get_by_role("link", name="Licences").click()
    expect(page.get_by_text("MSD_musicnn").first).to_be_visible()
    context.close()


def test_object_storage_will_do(chromium, site):
    """It has files, and nothing at the address of their folder: that opens once the site is kept."""
    with WebServer(site, index=False) as host:
        context = chromium.new_context()
        visit(context, f"{host.url}/index.html", site)
    context.set_offline(True)
    for address in ("index.html", ""):
        page = open_page(context, f"{host.url}/{address}")
        classify_sample(page)
    context.close()


def test_a_new_version_comes_when_the_old_one_is_closed(chromium, site, tmp_path):
    """And fetches what has changed alone; not while it is copied, and its files are those of the old one still."""
    shutil.copytree(site, tmp_path / "site")
    index, worker = (tmp_path / "site" / name for name in ("index.html", "sw.js"))
    page_before, page_after = (
        index.read_text(),
        index.read_text().replace("<h1>Which genre is it?", "<h1>A new version"),
    )
    digests = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in (page_before, page_after)]
    with WebServer(tmp_path) as host:
        context = chromium.new_context()
        visit(context, f"{host.url}/site/", site).close()
        worker.write_text(worker.read_text().replace(*digests))
        host.given.clear()
        page = open_page(context, f"{host.url}/site/")
        until(page, lambda: "/site/index.html" in dict(host.given), UPDATE_SECONDS)
        page.close()
        index.write_text(page_after)
        host.given.clear()
        page = open_page(context, f"{host.url}/site/")
        new = f"caches.match('index.html?{digests[1]}').then(Boolean)"
        until(page, lambda: page.evaluate(new), UPDATE_SECONDS)
        expect(page.get_by_role("heading", level=1)).to_have_text("Which genre is it?")
        classify_sample(page)
        page.close()
        page = open_page(context, f"{host.url}/site/")
        expect(page.get_by_role("heading", level=1)).to_have_text("A new version")
        classify_sample(page)
        assert {path for path, _ in host.given} == {"/site/sw.js", "/site/index.html"}
        context.close()


def test_a_new_version_needs_no_network_when_it_takes_over(chromium, site, tmp_path):
    """Nor does its model, which no page has asked for before."""
    shutil.copytree(site, tmp_path / "site")
    with WebServer(tmp_path) as host:
        context = chromium.new_context()
        visit(context, f"{host.url}/site/", site).close()
        build(MODELS["cnn"], tmp_path / "site")
        host.given.clear()
        page = open_page(context, f"{host.url}/site/")
        waiting = "navigator.serviceWorker.getRegistration().then(({ waiting }) => waiting !== null)"
        until(page, lambda: page.evaluate(waiting), UPDATE_SECONDS)
        page.close()
        assert [path.rpartition("/")[2] for path in large(host)] == ["genre.onnx"]
    context.set_offline(True)
    page = open_page(context, f"{host.url}/site/")
    version = json.loads((tmp_path / "site" / "classifier" / "model.json").read_text())["version"]
    expect(page.locator("#model")).to_contain_text(version)
    choose(page, file("song.wav", SONG))
    ends(page, "1 of 1 file done")
    context.close()


def test_it_can_be_installed(chromium, url, tmp_path):
    context = chromium.browser_type.launch_persistent_context(tmp_path, executable_path=CHROMIUM, args=ARGUMENTS)
    page = open_page(context, url)
    devtools = context.new_cdp_session(page)
    assert devtools.send("Page.getAppManifest")["errors"] == []
    assert devtools.send("Page.getInstallabilityErrors")["installabilityErrors"] == []
    context.close()
