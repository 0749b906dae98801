"""Object storage on this machine that fails one request in twenty and is slow in bursts."""

import random
import threading
import time

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from pyarrow import fs, parquet
from werkzeug.serving import make_server

from tests.support.audio import encode, tone
from tests.support.parquet import read

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


class Unreliable:
    """An application that fails one request in twenty, and is slow for ten in a hundred, once it is told to.

    An object whose name begins with "stuck" it gives for ever, a byte at a time; with "denied", to nobody.
    """

    def __init__(self, app):
        self.app, self.bad, self.failed, self.count = app, False, 0, 0
        self._rng = random.Random(19)

    def __call__(self, environ, start_response):
        self.count += 1
        if environ["REQUEST_METHOD"] == "GET" and "/stuck" in environ["PATH_INFO"]:
            start_response("206 Partial Content", [("Content-Length", str(2**20))])
            return drip()
        if "/denied" in environ["PATH_INFO"]:
            start_response("403 Forbidden", [("Content-Length", "0")])
            return [b""]
        if self.bad and self.count % 100 < 10:
            time.sleep(0.1)
        if self.bad and self._rng.random() < 0.05:
            self.failed += 1
            start_response("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        return self.app(environ, start_response)


def drip():
    for _ in range(2**20):
        time.sleep(0.2)
        yield b"x"


@pytest.fixture
def storage(monkeypatch):
    """The application and its URI options."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    app = Unreliable(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield app, "region=us-east-1"
    server.shutdown()


def test_every_object_has_its_row(storage, batch, tmp_path):
    app, options = storage
    system, _ = fs.FileSystem.from_uri(f"s3://bucket/?{options}&allow_bucket_creation=true")
    system.create_dir("bucket")
    clips = [encode(tone(3, 110 * number)) for number in (1, 2, 3)]
    for number in range(60):
        with system.open_output_stream(f"bucket/music/a b#{number:03d}.wav") as file:
            file.write(clips[number % 3])
    with system.open_output_stream("bucket/music/large.wav") as file:
        file.write(bytes(3 * 2**20))
    app.bad = True
    source, output = f"s3://bucket/music?{options}", f"s3://bucket/out?{options}"
    batch(source, output, "--files-per-part", "20", "--file-megabytes", "1")
    assert app.failed
    app.bad = False
    names = [info.path for info in system.get_file_info(fs.FileSelector("bucket/out"))]
    assert len(names) == 4
    assert all(name.endswith(".parquet") for name in names)
    rows = [row for name in names for row in parquet.read_table(name, filesystem=system).to_pylist()]
    assert len({row["uri"] for row in rows}) == len(rows) == 61
    assert [row["error_kind"] for row in rows if row["error"]] == ["too_large"]
    assert batch(source, output, "--files-per-part", "20").stdout.startswith("0 rows")


def test_an_object_that_never_ends_costs_its_own_row(storage, batch, tmp_path):
    _, options = storage
    system, _ = fs.FileSystem.from_uri(f"s3://other/?{options}&allow_bucket_creation=true")
    system.create_dir("other")
    for name in ("a", "stuck", "z"):
        with system.open_output_stream(f"other/{name}.wav") as file:
            file.write(encode(tone(3)))
    batch(f"s3://other/?{options}", tmp_path / "out", "--file-seconds", "4")
    rows = read(tmp_path / "out").values()
    assert [row["error_kind"] for row in rows] == [None, "unreachable", None]
    first, stuck, last = (row["seconds"] for row in rows)
    assert 0 < first < stuck
    assert 0 < last < stuck  # its own time alone, though its row comes after that of the one that is stuck


def test_a_row_says_why_the_storage_gives_nothing(storage, batch, tmp_path):
    (tmp_path / "list.txt").write_text(f"s3://other/denied.wav?{storage[1]}\n")
    batch(tmp_path / "list.txt", tmp_path / "out", "--file-seconds", "1")
    (row,) = read(tmp_path / "out").values()
    assert row["error_kind"] == "unreachable"
    assert "ACCESS_DENIED" in row["error"]
