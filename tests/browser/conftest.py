"""The built site, on a plain web server under a path of its own, and a browser that opens it."""

import shutil
import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.page import CHROMIUM, launched, visits
from tests.support.web import WebServer

NPM = shutil.which("npm")
RUNTIME = ROOT / "browser" / "node_modules"


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder that `make demo` would write, without the model's process or any other."""
    if not RUNTIME.is_dir():
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
