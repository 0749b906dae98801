"""The site that classifies in the browser, as the service gives it; tests/browser has the site itself."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from serving.http.access import Access
from serving.http.application import OTHER, counted_as
from serving.http.device import DEVICE_PATH, device_routes
from serving.http.errors import RequestError
from serving.http.pages import FOLDER, index

LINK = '<p><a href="device/">Classify on this device</a>'


@pytest.fixture
def site(tmp_path):
    (tmp_path / "site" / "page").mkdir(parents=True)
    (tmp_path / "site" / "index.html").write_text("the site")
    (tmp_path / "site" / "page" / "page.js").write_text("a script")
    (tmp_path / "secret").write_text("not for strangers")
    return tmp_path / "site"


def test_the_page_offers_it_where_it_is_built():
    page = (FOLDER / "index.html").read_text()
    assert index(offers_device=False) == page
    assert LINK not in page
    assert index(offers_device=True).count(LINK) == 1


def test_it_is_given_isolated_and_by_a_policy(site):
    client = TestClient(Starlette(routes=device_routes(site)))
    answer = client.get("/device/")
    assert (answer.text, answer.headers["content-type"]) == ("the site", "text/html; charset=utf-8")
    assert client.get("/device/page/page.js").text == "a script"
    assert client.get("/device").url.path == DEVICE_PATH  # for its addresses are relative
    for name, value in {
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-embedder-policy": "require-corp",
        "x-content-type-options": "nosniff",
    }.items():
        assert answer.headers[name] == value
    assert "connect-src 'self';" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["nothing", "../secret", "%2e%2e/secret", "page/%2e%2e/%2e%2e/secret", "/secret"])
def test_nothing_else_is_given(site, path):
    assert TestClient(Starlette(routes=device_routes(site))).get(f"/device/{path}").status_code == 404


def test_without_it_there_are_no_routes(tmp_path):
    assert device_routes(tmp_path / "nothing") == []


def test_it_needs_no_key_and_is_counted_as_one():
    access = Access(keys=["a key"])
    scope = {"type": "http", "method": "GET", "headers": []}
    access.check({**scope, "path": "/device/page/page.js"})
    with pytest.raises(RequestError):
        access.check({**scope, "path": "/devices"})
    paths = ["/device/", "/device/page/page.js", "/page/page.js", "/model", "/devices"]
    assert [counted_as(path) for path in paths] == [DEVICE_PATH, DEVICE_PATH, "/page/", "/model", OTHER]
