"""Fixtures of the serving tests; the model that ships is used where there is one."""

import httpx
import pytest
from serving_stand_in import ROOT, write_stand_in

from benchmarks.server import Server

SHIPPED_MODEL = ROOT / "artifacts" / "genre.onnx"


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory):
    return write_stand_in(tmp_path_factory.mktemp("model") / "stand_in.onnx")


@pytest.fixture(scope="session")
def served_model(stand_in):
    """The model that ships, or the stand-in before there is one."""
    return SHIPPED_MODEL if SHIPPED_MODEL.exists() else stand_in


@pytest.fixture(scope="session")
def server(tmp_path_factory, served_model):
    """One server for all tests that need one, as `bentoml serve` without an argument starts it."""
    server = Server(tmp_path_factory.mktemp("bentoml"), GENRE_MODEL=str(served_model), GENRE_MAX_UPLOAD_MB="8")
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client
