"""The built site, on a plain web server under a path of its own, and a browser that opens it."""

import shutil
import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.chromium import CHROMIUM, launched
from tests.support.page import visits
from tests.support.web import WebServer

NPM = shutil.which("npm")
RUNTIME = ROOT / "browser" / "node_modules" / ".package-lock.json"  # written when all is there


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder that `make demo` would write, without the model's process or any other."""
    if not RUNTIME.is_file():
        if NPM is None:
            pytest.skip("no npm: apt-get install npm")
        subprocess.run([NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=ROOT / "browser", check=True)
    folder = tmp_path_factory.mktemp("host") / "some" / "where"
    subprocess.run([sys.executable, "-m", "browser.build", "--output", folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture
def host(site):
    """A web server that has the site under /some/where/."""
    with WebServer(site.parents[1]) as server:
        yield server


@pytest.fixture
def url(host):
    return f"{host.url}/some/where"


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    with launched() as browser:
        yield browser


@pytest.fixture
def visit(chromium, url):
    """Opens the site in a window of its own; in the end nothing went wrong there, and nobody else was asked."""
    with visits(chromium, url) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def in_a_page(chromium, site, tmp_path_factory):
    """Gives a file to a function of JavaScript in a page beside the site's: another site, which uses its modules."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "classifier").symlink_to(site / "classifier")
    (folder / "index.html").write_text("<!doctype html><title>Another site</title>")
    with WebServer(folder) as host:
        page = chromium.new_page()
        page.goto(f"{host.url}/index.html")

        def call(function, name, content, *given):
            (folder / name).write_bytes(content)
            program = f"async ([name, given]) => ({function})(await (await fetch(name)).blob(), ...given)"
            try:
                return page.evaluate(program, [name, list(given)])
            finally:
                (folder / name).unlink()

        yield call
        page.close()
