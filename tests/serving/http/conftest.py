"""A browser, and a window of it that opens the page."""

import pytest

from tests.support.chromium import launched
from tests.support.page import visits


@pytest.fixture(scope="module")
def chromium():
    with launched() as browser:
        yield browser


@pytest.fixture
def visit(chromium, server):
    """Opens the page in a window of its own; in the end nothing went wrong there, and nobody else was asked."""
    with visits(chromium, server.url) as open_page:
        yield open_page
