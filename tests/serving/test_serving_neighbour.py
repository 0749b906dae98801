"""What a service owes to those beside it: one port, a closed folder, and an end that leaves nothing behind."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
import pytest

from serving.run_folder import PREFIX
from tests.support import ROOT
from tests.support.audio import encode, tone
from tests.support.server import FRONT, MODEL, Server
from tests.support.stand_in import write_stand_in

SONG = encode(tone(7))
KEYS = ("one key", "another")
CONNECTIONS = 20
KEY = {"Authorization": f"Bearer {KEYS[0]}"}


@pytest.fixture(scope="module")
def temporary():
    """A folder of temporary files: a small disk of its own, where the system allows it."""
    folder = Path(tempfile.mkdtemp())  # the name of a socket in it may not be long
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    mounted = shutil.which("mount") and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    yield folder
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_stand_in(tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.fixture(scope="module")
def own(home, model, temporary):
    server = Server(
        home,
        TMPDIR=str(temporary),
        GENRE_MODEL=str(model),
        GENRE_WORKERS="1",
        GENRE_API_KEYS=",".join(KEYS),
        GENRE_MAX_CONNECTIONS=str(CONNECTIONS),
        GENRE_ALLOWED_HOSTS="music.example",
    )
    try:
        server.wait()
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.stop()


def folders(temporary):
    return list(temporary.glob(f"{PREFIX}*"))


def classify(server, **headers):
    return httpx.post(f"{server.url}/classify", files={"audio": SONG}, headers={**KEY, **headers}, timeout=60)


def test_it_listens_on_one_port(own):
    processes = [psutil.Process(own.process.pid), *psutil.Process(own.process.pid).children(recursive=True)]
    listening = {
        connection.laddr.port
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {own.port}


def test_its_sockets_are_closed_to_others(own, temporary):
    (folder,) = folders(temporary)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in folder.iterdir() if path.is_socket()} == {"chunks", "control", "events"}
    assert len(list(folder.rglob("*.sock"))) == 1


@pytest.mark.parametrize("path", ["/classify", "/embed", "/model", "/nothing", "/models"])
def test_without_a_key_there_is_no_answer(own, path):
    send = httpx.get if path.startswith("/model") else httpx.post
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-API-Key": "one keyy"}, {"Authorization": "one key"}):
        answer = send(f"{own.url}{path}", headers=headers)
        assert (answer.status_code, list(answer.json())) == (401, ["error"])
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("key", KEYS)
def test_with_a_key_there_is_one(own, key):
    for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}):
        assert httpx.get(f"{own.url}/model", headers=headers).status_code == 200
        answer = httpx.post(f"{own.url}/classify", files={"audio": SONG}, headers=headers, timeout=60)
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/healthz", "/metrics", "/", "/page/page.js", "/about", "/docs.json"]
)
def test_probes_metrics_and_what_says_how_to_ask_need_no_key(own, path):
    assert httpx.get(f"{own.url}{path}").status_code == 200


def test_the_description_says_how_the_key_is_sent(own, server):
    description = httpx.get(f"{own.url}/docs.json").json()
    assert set(description["components"]["securitySchemes"]) == {"bearer", "header"}
    assert description["paths"]["/classify"]["post"]["security"] == [{"bearer": []}, {"header": []}]
    assert "401" in description["paths"]["/classify"]["post"]["responses"]
    assert "security" not in description["paths"]["/livez"]["get"]
    assert "securitySchemes" not in httpx.get(f"{server.url}/docs.json").json()["components"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:80", "music.example", "app.localhost"]
)
def test_it_goes_by_names_of_loopback_and_those_it_is_given(own, host):
    assert httpx.get(f"{own.url}/livez", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "10.0.0.1", "localhost.example"]
)
@pytest.mark.parametrize("path", ["/", "/model", "/metrics", "/livez"])
def test_it_goes_by_no_other(own, host, path):
    answer = httpx.get(f"{own.url}{path}", headers={"Host": host, **KEY})
    assert (answer.status_code, list(answer.json())) == (421, ["error"])


def test_of_too_many_idle_connections_the_longest_idle_go(own):
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", own.port))) for _ in range(CONNECTIONS)]
        for each in idle[: CONNECTIONS // 2]:
            each.sendall(b"GET / HTTP/1.1\r\nHost: local")  # half a head
        more = [stack.enter_context(socket.create_connection(("127.0.0.1", own.port))) for _ in range(5)]
        assert classify(own).status_code == 200
        for each in idle[:5]:
            each.settimeout(10)
            assert each.recv(1) == b""  # closed by the service
        more[-1].settimeout(10)
        more[-1].sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert more[-1].recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000, 431),
        (b"GET /" + b"x" * 200_000, 431),
        (b"\0" * 200_000, 400),
        (b"\x16\x03\x01\x02\x00", 400),  # what begins TLS
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ],
)
def test_a_head_that_cannot_be_taken_is_told_in_a_sentence(own, sent, status):
    with socket.create_connection(("127.0.0.1", own.port), timeout=10) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, list(json.loads(answer.read()))) == (status, ["error"])


def requests(server):
    metrics = httpx.get(f"{server.url}/metrics").text
    return sum(float(value) for value in re.findall(r"^genre_http_requests_total\{.*\} (\S+)$", metrics, re.MULTILINE))


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_another_start_on_its_port_ends_with_a_sentence_and_touches_nothing(own, home, temporary, host):
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("no socket takes both versions here")
    before = requests(own)
    assert before > 0
    environment = {"BENTOML_HOME": str(home), "TMPDIR": str(temporary), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-m", "bentoml", "serve", "--host", host, "--port", str(own.port)]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout + ended.stderr == (
        f"Port {own.port} is taken: end what listens there, or choose another with --port.\n"
    )
    assert requests(own) >= before
    assert len(folders(temporary)) == 1


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_ends_the_start_with_a_sentence(tmp_path, port):
    environment = {"BENTOML_HOME": str(tmp_path), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", str(port)]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == f"There is no port {port}: choose one up to 65535 with --port.\n"


def test_a_name_too_long_for_a_socket_ends_the_start_with_a_sentence(tmp_path):
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    environment = {"BENTOML_HOME": str(tmp_path), "TMPDIR": str(folder), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", "0"]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == f"The folder for temporary files has too long a name for a socket: {folder}.\n"
    assert not list(folder.iterdir())


def test_a_home_that_cannot_be_written_ends_the_start_with_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "bentoml"
    environment = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
    ended = {
        command: subprocess.run(
            [sys.executable, "-m", "bentoml", command, *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        for command, *arguments in (["serve", "--host", "127.0.0.1", "--port", "0"], ["--version"], ["--help"])
    }
    assert ended["serve"].returncode == 1
    assert ended["serve"].stderr == (
        f"BentoML's home {home} cannot be written: Not a directory. Set BENTOML_HOME to a folder that can.\n"
    )
    assert ended["--version"].returncode == ended["--help"].returncode == 0
    assert "genre-classifier" not in ended["--help"].stdout


def test_on_a_full_disk_large_files_are_refused_and_small_ones_answered(own, temporary):
    if not temporary.is_mount():
        pytest.skip("no small disk can be mounted here")
    filler = temporary / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(2**16))
            file.flush()
    before = set(temporary.rglob("*"))
    large = httpx.post(f"{own.url}/classify", files={"audio": encode(tone(60))}, headers=KEY, timeout=60)
    assert (large.status_code, list(large.json())) == (503, ["error"])
    assert large.headers["retry-after"]
    assert classify(own).status_code == 200
    (worker,) = own.workers(FRONT)
    worker.kill()  # and the next one finds no room for its metrics
    wait_for_another(own, FRONT, worker)
    assert classify(own).status_code == 200
    assert set(temporary.rglob("*")) - before <= set(temporary.rglob("bentoml-client-*"))
    filler.unlink()
    assert (
        httpx.post(f"{own.url}/classify", files={"audio": encode(tone(60))}, headers=KEY, timeout=60).status_code == 200
    )


def wait_for_another(server, service, gone):
    for _ in range(600):
        if (workers := server.workers(service)) and gone not in workers:
            server.wait()
            return
        time.sleep(0.05)
    raise AssertionError(f"No new {service}.")


def test_answers_name_the_model_that_made_them(own, model):
    """Its file is replaced while it runs, and its process starts anew."""
    assert classify(own).json()["model"]["version"] == "stand-in"
    labels = ("loud", "soft", "slow")
    other = write_stand_in(model.with_name("other.onnx"), labels=labels, metadata={"version": "other"})
    other.replace(model)
    (worker,) = own.workers(MODEL)
    worker.kill()
    wait_for_another(own, MODEL, worker)
    for _ in range(5):
        answer = classify(own).json()
        assert answer["model"]["version"] == "other"
        assert set(answer["probabilities"]) == set(labels)
    told = httpx.get(f"{own.url}/model", headers=KEY).json()
    assert (told["version"], tuple(told["labels"])) == ("other", labels)


def test_without_the_folder_of_its_metrics_it_has_no_metrics_and_all_else(own, temporary):
    (folder,) = folders(temporary)
    shutil.rmtree(folder / "metrics")
    assert classify(own).status_code == 200
    answer = httpx.get(f"{own.url}/metrics")
    assert (answer.status_code, list(answer.json())) == (503, ["error"])
    (worker,) = own.workers(FRONT)
    worker.kill()  # the next one finds no folder
    wait_for_another(own, FRONT, worker)
    assert classify(own).status_code == 200
    assert httpx.get(f"{own.url}/metrics").status_code == 200


def test_killed_it_takes_its_workers_along_and_the_next_one_starts(own, home, model, temporary):
    below = psutil.Process(own.process.pid).children(recursive=True)
    assert len(below) >= 3  # the model, the front, and its decoders
    own.process.send_signal(signal.SIGKILL)
    own.process.wait()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert not alive
    assert len(folders(temporary)) == 1
    with socket.create_server(("127.0.0.1", own.port)):  # nobody holds it
        pass
    again = home / "again"  # with a log of its own
    again.mkdir()
    with Server(again, TMPDIR=str(temporary), GENRE_MODEL=str(model), GENRE_WORKERS="1") as following:
        assert classify(following).status_code == 200
        assert len(folders(temporary)) == 1
    assert not folders(temporary)


@pytest.mark.slow
def test_one_byte_chunks_keep_nobody_waiting(server):
    """Of a chunked body, each chunk costs the server what a whole one does."""
    head = b"POST /classify HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    head += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    form = b'--b\r\nContent-Disposition: form-data; name="audio"; filename="a"\r\n\r\n'
    burst = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in form) + b"1\r\nx\r\n" * 4000
    code = (
        "import socket, sys, time\n"
        f"clients = [socket.create_connection(('127.0.0.1', {server.port})) for _ in range(8)]\n"
        f"for each in clients: each.sendall({head!r})\n"
        f"burst = {burst!r}\n"
        "end = time.monotonic() + 20\n"
        "while time.monotonic() < end:\n"
        "    for each in clients: each.sendall(burst); burst = b'1\\r\\nx\\r\\n' * 4000\n"
        "    time.sleep(8 * 8 * 24000 / 12.8e6)\n"
    )
    attacker = subprocess.Popen([sys.executable, "-c", code])
    took = []
    while attacker.poll() is None:
        begin = time.monotonic()
        assert httpx.get(f"{server.url}/livez", timeout=60).status_code == 200
        took.append(time.monotonic() - begin)
    assert attacker.returncode == 0
    print(f"/livez: {sorted(took)[len(took) // 2]:.3f} s at the median of {len(took)}, {max(took):.3f} s at most")
    assert max(took) < 1
