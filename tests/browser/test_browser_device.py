"""The built site as the service gives it, under /device/."""

import threading
import time

import pytest
import uvicorn
from playwright.sync_api import expect
from starlette.applications import Starlette

from serving.http.device import device_routes
from tests.support.page import SONG, choose, ends, file, visits


@pytest.fixture
def device(site):
    """A server with what the service has under /device/, without the service."""
    config = uvicorn.Config(Starlette(routes=device_routes(site)), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/device"
    server.should_exit = True
    thread.join()


def test_it_has_threads_at_the_first_visit(chromium, device):
    with visits(chromium, device) as open_page:
        page = open_page()
        assert page.evaluate("crossOriginIsolated")
        choose(page, file("song.wav", SONG))
        ends(page, "1 of 1 file done")
        expect(page.locator(".genre")).to_be_visible()
