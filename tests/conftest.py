"""Fixtures of all tests: real music, a model, and a server that answers with it."""

import os
import signal
from importlib.metadata import version
from pathlib import Path

import httpx
import onnxruntime
import pytest
from xdist.scheduler import LoadScopeScheduling

from genre_classifier.batching import ChunkBatcher
from genre_classifier.models import DEFAULT_MODEL, find_model
from tests.support import DATA, ROOT, cuda_stub
from tests.support.server import Server
from tests.support.stand_in import write_stand_in

SHIPPED_MODEL = find_model(DEFAULT_MODEL)
# Folders whose tests share a server, graphs that take long to export, a site.
SHARING = {"serving", "export", "browser"}
HAS_MUSIC = DATA is not None and (DATA / "gtzan").is_dir()
PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
NO_MUSIC = f"GENRE_DATA is {DATA}, which has no folder gtzan/" if DATA else "GENRE_DATA is unset: no real music"

# Tests that run in the background ignore Ctrl-C, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Processes that compile librosa's functions into one cache at once spoil it: those that load them later crash or hang
# (numba 0.68). So each of the processes that share the tests has a cache of its own.
os.environ["NUMBA_CACHE_DIR"] = str(ROOT / f".pytest_cache/numba-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}")
if PROCESSES > 1:  # they share the cores: more threads of PyTorch than cores take a third longer
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // PROCESSES))


def pytest_report_header() -> list[str]:
    packages = ["torch", "librosa", "numpy", "soundfile", "soxr", "av", "bentoml"]
    return [
        ", ".join(f"{name} {version(name)}" for name in packages),
        f"onnxruntime {onnxruntime.__version__} with {', '.join(onnxruntime.get_available_providers())}",
        f"real music: {DATA}" if HAS_MUSIC else NO_MUSIC,
    ]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return ByPlace(config, log)


class ByPlace(LoadScopeScheduling):
    """Of two processes that share the tests, one takes all of a file or of a folder that shares something."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.split("/")[1]
        return folder if folder in SHARING else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not HAS_MUSIC:
        for item in items:
            if item.get_closest_marker("gtzan"):
                item.add_marker(pytest.mark.skip(reason=NO_MUSIC))


@pytest.fixture(scope="session")
def data() -> Path:
    """GENRE_DATA, the folder that holds gtzan/; only for tests marked `gtzan`."""
    assert DATA is not None
    return DATA


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory) -> Path:
    """A stand-in graph: the contract of a model file, random weights."""
    return write_stand_in(tmp_path_factory.mktemp("model") / "stand_in.onnx")


@pytest.fixture(scope="session")
def served_model(stand_in) -> Path:
    """The model that ships, or the stand-in before there is one."""
    return SHIPPED_MODEL if SHIPPED_MODEL.exists() else stand_in


@pytest.fixture(scope="session")
def cuda_libraries(tmp_path_factory) -> Path:
    """The libraries of a CUDA runtime that does nothing, for `cuda_stub.run`."""
    return cuda_stub.build(tmp_path_factory.mktemp("cuda"))


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
    """A client of `server`."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
def run_sizes(monkeypatch):
    """Rows of every run of classifiers made from now on, which wait for a full batch on a busy machine too."""
    monkeypatch.setattr("genre_classifier.batching.MAX_WAIT", 60)
    sizes = []
    make = ChunkBatcher.__init__

    def noted(self, run, **options):
        def run_and_note(chunks):
            sizes.append(len(chunks))
            return run(chunks)

        make(self, run_and_note, **options)

    monkeypatch.setattr(ChunkBatcher, "__init__", noted)
    return sizes
