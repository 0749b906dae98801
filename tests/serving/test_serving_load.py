"""Load and faults on a real `bentoml serve`: short forms, and with `-m slow` the long ones.

What takes how long is measured by benchmarks.load; here it counts what is answered, and in which order.
"""

import asyncio
import json
import re
import signal
import socket
import time

import httpx
import numpy as np
import pytest
import soundfile

from benchmarks.load import broken, kill, overload, slow, steady, stop
from tests.support.audio import encode, tone
from tests.support.server import FRONT, MODEL, Server
from tests.support.songs import recording, songs

CLOSE = 1e-4  # largest difference of probabilities, alone and under load
WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def short_and_long(short, long):
    return pytest.mark.parametrize("size", [pytest.param(short), pytest.param(long, marks=pytest.mark.slow)])


@pytest.fixture(scope="module")
def music():
    return songs(16, longest=10.0)


@pytest.fixture(scope="module")
def own(tmp_path_factory, served_model):
    """A server that a test may damage."""
    server = Server(
        tmp_path_factory.mktemp("own"), GENRE_MODEL=str(served_model), GENRE_MAX_WAIT="4", GENRE_WORKERS="2"
    )
    try:
        server.wait()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


@short_and_long(300, 10_000)
@pytest.mark.timeout(3600)
def test_at_70_percent_of_its_capacity_nothing_fails(own, music, size):
    seen = asyncio.run(steady(own, music, requests=size, warm_up=min(20, size / 50)))
    assert seen["statuses"] == {"200": size}
    assert seen["largest_difference"] <= CLOSE


@short_and_long(800, 3000)
@pytest.mark.timeout(600)
def test_beyond_its_capacity_it_refuses_early_and_answers_what_it_admits(own, music, size):
    seen = asyncio.run(overload(own, music, burst=size, warm_up=4))
    assert set(seen["statuses"]) == {"200", "503"}
    assert seen["statuses"]["200"] >= 32
    assert seen["refused_without_retry_after"] == 0
    # Nobody waits only to be refused: the admitted ones are still being answered when the last refusal is sent.
    assert seen["refused_before_last_answer"] == seen["refused"]
    assert seen["alone_afterwards_status"] == 200
    assert seen["largest_difference"] <= CLOSE


@short_and_long(12, 60)
@pytest.mark.parametrize("service", [MODEL, FRONT])
def test_a_killed_worker_is_replaced_and_nothing_is_answered_wrongly(own, music, service, size):
    seen = asyncio.run(kill(own, music, service, seconds=size))
    # Connections of a killed front break; calls of a killed model are repeated, or refused with 503.
    assert set(seen["statuses"]) <= {"200", "503", "0"}
    assert seen["answered_again_after_s"] is not None
    assert seen["largest_difference"] <= CLOSE
    assert seen["workers_afterwards"] == seen["workers_before"] == {MODEL: 1, FRONT: 2}
    assert seen["alone_afterwards_status"] == 200


@short_and_long(300, 5000)
@pytest.mark.timeout(3600)
def test_damaged_files_are_refused_or_classified_and_memory_stays(server, music, size):
    seen = asyncio.run(broken(server, music, count=size, seed=size))
    assert set(seen["statuses"]) <= {"200", "400", "413", "422"}
    assert {"200", "400"} <= set(seen["statuses"])
    assert set(seen["good_afterwards"]["statuses"]) == {"200"}
    before, after = seen["memory_mb"]
    assert after < before + 150


def test_what_is_refused_after_long_decoding_is_not_kept(own, tmp_path):
    """A FLAC that does not tell its length is decoded up to the limit of 20 minutes, a hundred megabytes."""
    path = tmp_path / "endless.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, format="FLAC") as file:
        for _ in range(21):
            file.write(np.zeros(60 * 8000, dtype=np.int16))
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the number of samples, 36 bits of the first block
    content[22:26] = bytes(4)
    with httpx.Client(base_url=own.url, timeout=60) as client:
        before = own.memory()
        for _ in range(8):
            assert client.post("/classify", files={"audio": bytes(content)}).status_code == 413
        assert own.memory() < before + 250 * 2**20


@short_and_long(3, 30)
def test_slow_clients_and_broken_uploads_do_not_block_others(own, music, size):
    seen = asyncio.run(slow(own, music, slow_clients=10, seconds=size))
    assert set(seen["before"]["statuses"]) == set(seen["amid"]["statuses"]) == {"200"}
    assert seen["amid"]["largest_difference"] <= CLOSE


def test_told_to_stop_it_answers_what_it_has_received(tmp_path, served_model, music):
    server = Server(tmp_path, GENRE_MODEL=str(served_model))
    server.wait()
    # One upload never ends: the server ends while its connection is still open.
    with socket.create_connection(("127.0.0.1", server.port)) as dripping:
        dripping.sendall(
            b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 1000\r\n\r\n--b"
        )
        seen = asyncio.run(stop(server, music, burst=40))
        assert server.process.returncode == 0
    assert seen["statuses"] == {"200": 40}


def test_told_to_stop_it_still_connects_to_the_model(tmp_path, served_model):
    """The front has asked it nothing yet but one thing at a time, and so has few connections to it."""
    server = Server(tmp_path, GENRE_MODEL=str(served_model))
    server.wait()
    seen = asyncio.run(stop(server, [recording("MP3", 30)], burst=16, after=0.1))
    assert seen["statuses"] == {"200": 16}


def test_a_model_that_hangs_is_an_error_in_time(tmp_path, served_model):
    """And SIGHUP, which would reload the workers, does nothing."""
    server = Server(tmp_path, GENRE_MODEL=str(served_model), GENRE_TIMEOUT="2")
    try:
        server.wait()
        workers = [process.pid for name in (MODEL, FRONT) for process in server.workers(name)]
        server.process.send_signal(signal.SIGHUP)
        (model,) = server.workers(MODEL)
        model.suspend()
        with httpx.Client(base_url=server.url, timeout=30) as client:
            refused = client.post("/classify", files={"audio": encode(tone(4))}), client.get("/readyz")
        model.resume()
        for response in refused:
            assert (response.status_code, list(response.json())) == (503, ["error"])
            assert response.headers["Retry-After"]
        server.wait()
        assert workers == [process.pid for name in (MODEL, FRONT) for process in server.workers(name)]
        assert httpx.post(f"{server.url}/classify", files={"audio": encode(tone(4))}).status_code == 200
    finally:
        server.stop()
    assert "Traceback" not in server.log.read_text()


def test_the_metrics_tell_rows_and_times_and_no_address_that_is_none(own):
    with httpx.Client(base_url=own.url, timeout=60) as client:
        assert client.post("/classify", files={"audio": encode(tone(4))}).status_code == 200
        for number in range(50):
            assert client.get(f"/no-such-{number}").status_code == 404
        # The server closes after this, so not on the connection of the others.
        assert httpx.get(f"{own.url}/no-such-socket", headers=WEBSOCKET, timeout=60).status_code == 403
        text = client.get("/metrics").text
    for name in ("session_rows", "session_seconds", "decode_seconds", "queue_seconds"):
        counts = re.findall(rf"^genre_{name}_count(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        assert sum(map(float, counts)) >= 1, name
        assert f"genre_{name}_bucket" in text
    assert "no-such" not in text
    requests = {
        labels: float(count)
        for labels, count in re.findall(r"^genre_http_requests_total{(.*)} (\S+)$", text, re.MULTILINE)
    }
    assert requests['method="POST",path="/classify",status="200"'] >= 1
    assert requests['method="GET",path="other",status="404"'] >= 50
    assert 'genre_http_request_seconds_bucket{le="1.0",path="/classify"}' in text
    assert re.search(r"^genre_wait_seconds 0\.0$", text, re.MULTILINE)


def test_one_line_of_json_for_each_request_and_no_name_in_it(own):
    def lines():
        written = [json.loads(line) for line in own.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in written if line["path"] == "/classify"]

    before = len(lines())
    with httpx.Client(base_url=own.url, timeout=60) as client:
        client.post("/classify", files=[("audio", ("secret.wav", encode(tone(7))))] * 2)
        client.post("/classify", files={"audio": ("secret.wav", b"no music")})
    while len(lines()) < before + 2:  # a line follows its answer
        time.sleep(0.05)
    good, bad = lines()[before:]
    assert (good["status"], good["files"], good["chunks"], good["audio_seconds"]) == (200, 2, 6, 14.0)
    assert (bad["status"], bad["files"], bad["chunks"]) == (400, 1, 0)
    assert good["bytes"] > 2 * 7 * 22050
    for name in ("receive_ms", "queue_ms", "decode_ms", "session_ms", "total_ms"):
        assert good[name] > 0
    assert "secret" not in own.log.read_text()
