"""What SECURITY in docs/serving.md promises: what comes in stays in its place, and what goes out tells nothing."""

import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from genre_classifier.audio import SAMPLE_RATE
from tests.support import ROOT
from tests.support.audio import encode, tone
from tests.support.server import Server

SONG = encode(tone(4))
MP3 = encode(tone(6), container="MP3")


def picture():
    def block(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(bytes(65 * 64))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [block(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)), block(b"IDAT", pixels), block(b"IEND", b"")]
    )


def hours_of_silence(path):
    with soundfile.SoundFile(path, "w", 8000, 1, format="FLAC") as file:
        for _ in range(600):
            file.write(np.zeros(60 * 8000, dtype=np.int16))
    content = path.read_bytes()
    assert len(content) < 10 * 2**20
    return content


BAD = {
    "empty": (b"", 400),
    "random bytes": (np.random.default_rng(0).bytes(100_000), 400),
    "picture": (picture(), 400),
    "text": (b"To be, or not to be\n" * 1000, 400),
    "truncated head": (SONG[:30], 400),
    "truncated, too little left": (SONG[: 2 * SAMPLE_RATE], 422),
    "one second": (encode(tone(1)), 422),
    "silence": (encode(np.zeros(5 * SAMPLE_RATE)), 422),
    "not numbers": (encode(np.full(5 * SAMPLE_RATE, np.nan), subtype="FLOAT"), 400),
    "infinite": (encode(np.full(5 * SAMPLE_RATE, np.inf), subtype="FLOAT"), 400),
}
GOOD = {
    "192 kHz": encode(tone(4, rate=192_000), rate=192_000),
    "8 channels": encode(np.stack([tone(4, 110 * (1 + channel)) for channel in range(8)], axis=1)),
    "truncated, enough left": MP3[: len(MP3) * 3 // 4],
    "wrong extension": MP3,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_music_is_refused(client, name):
    content, status = BAD[name]
    response = client.post("/classify", files={"audio": ("song.wav", content)})
    assert (response.status_code, list(response.json())) == (status, ["error"])


@pytest.mark.parametrize("name", GOOD)
def test_what_is_music_is_classified(client, name):
    response = client.post("/classify", files={"audio": ("song.txt", GOOD[name])})
    assert response.status_code == 200, response.text
    assert ("warning" in response.json()) == (name == "truncated, enough left")


def test_ten_hours_are_refused_by_their_header(client, tmp_path):
    """Decoded, the head of the file would be a minute of silence, and the answer 422."""
    content = hours_of_silence(tmp_path / "long.flac")
    for part in (content, content[: len(content) // 600]):
        response = client.post("/classify", files={"audio": part})
        assert (response.status_code, list(response.json())) == (413, ["error"])


@pytest.mark.parametrize(
    "name", ["a\x00b.wav", "\x1b[31mred.wav", "../../etc/passwd", "a\r\nX: y.wav", "ü" * 300, "'\"<>"]
)
def test_a_file_s_name_does_nothing(client, name):
    assert client.post("/classify", files={"audio": (name, SONG)}).status_code == 200


@pytest.mark.parametrize("charset", ["hex", "idna", "undefined", "no-such", "\x01", "unicode_escape", "utf-16"])
def test_a_strange_charset_is_no_fault_of_ours(client, charset):
    body = b'--b\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n' + SONG + b"\r\n--b--\r\n"
    kind = f'multipart/form-data; boundary=b; charset="{charset}"'
    response = client.post("/classify", content=body, headers={"Content-Type": kind})
    assert response.status_code in {200, 400}


def test_headers_of_a_part_are_limited(client):
    body = b'--b\r\nContent-Disposition: form-data; name="audio"\r\nX: ' + b"x" * 4_000_000 + b"\r\n\r\n--b--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    assert client.post("/classify", content=body, headers=kind).status_code == 400


def test_no_other_site_may_read_the_answers(client):
    for response in (
        client.get("/model", headers={"Origin": "https://elsewhere.example"}),
        client.post("/classify", files={"audio": SONG}, headers={"Origin": "https://elsewhere.example"}),
        client.options("/classify", headers={"Origin": "https://e.example", "Access-Control-Request-Method": "POST"}),
    ):
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_answers_name_no_library_and_no_path(client):
    for response in (
        client.get("/"),
        client.get("/model"),
        client.get("/nothing"),
        client.post("/classify", files={"audio": SONG}),
        client.post("/classify", files={"audio": b"no music"}),
        client.post("/classify", content=b"x", headers={"Content-Type": "multipart/form-data; boundary=b"}),
    ):
        told = response.text.lower() + str(dict(response.headers)).lower()
        for word in ("traceback", "uvicorn", "starlette", "soundfile", "ffmpeg", ".py", str(ROOT).lower(), "/tmp"):
            assert word not in told


def tree(folder):
    """Every file below, with its size and time, but BentoML's metrics and our log, which are written to."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".db" and path.name != "server.log"
    }


def test_nothing_is_left_behind(tmp_path, served_model):
    """Not even in the middle of it: what is too large for memory lies in files without a name."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    temporary = Path(tempfile.mkdtemp())  # the name of a socket in it may not be long
    server = Server(home, str(ROOT), cwd=work, TMPDIR=str(temporary), GENRE_MODEL=str(served_model))
    try:
        server.wait()
        before = tree(tmp_path) | tree(temporary)
        large = encode(tone(60))
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for content in (SONG, large, large[: len(large) // 2], b"no music", b""):
                client.post("/classify", files=[("audio", ("song.wav", content))] * 2)
            assert client.post("/classify", files={"audio": large}).status_code == 200
        assert tree(tmp_path) | tree(temporary) == before
    finally:
        server.stop()
    assert not list(temporary.iterdir())
    temporary.rmdir()


def test_a_damaged_mp3_writes_nothing_into_the_log(server, client):
    damaged = bytearray(encode(tone(20), container="MP3"))
    for place in range(2000, len(damaged), 300):
        damaged[place] ^= 0xFF
    before = len(server.log.read_bytes())
    client.post("/classify", files={"audio": bytes(damaged)})
    lines = []
    while not lines:  # written after the answer
        time.sleep(0.05)
        lines = server.log.read_bytes()[before:].splitlines()
    assert all(line.startswith(b"{") for line in lines), lines


def test_the_command_line_keeps_its_own_voice(tmp_path):
    damaged = bytearray(encode(tone(20), container="MP3"))
    for place in range(2000, len(damaged), 300):
        damaged[place] ^= 0xFF
    (tmp_path / "damaged.mp3").write_bytes(bytes(damaged))
    (tmp_path / "no.mp3").write_bytes(b"no music")
    run = subprocess.run(
        [sys.executable, "-m", "genre_classifier", "--json", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GENRE_PROVIDER": "cpu"},
    )
    assert "mpg123" not in run.stderr
    assert "no.mp3: " in run.stderr
    assert run.returncode == 1


def test_onnx_runtime_does_not_call_home(tmp_path, served_model):
    """It would, and leaves a file where it does, unless it is told not to before it is imported."""
    clean = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    code = f"from genre_classifier import Classifier; Classifier({str(served_model)!r}, provider='cpu')"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**clean, "TMPDIR": str(tmp_path)}, check=True)
    assert not list(tmp_path.iterdir())


def test_nothing_imports_onnx_runtime_in_another_way():
    imports = re.compile(r"^\s*(?:import|from) onnxruntime\b", re.MULTILINE)
    for_types = re.compile(r"^if TYPE_CHECKING:\n(?: .*\n)+", re.MULTILINE)
    packages = ("genre_classifier", "serving", "train", "export", "benchmarks")
    files = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    texts = {path: for_types.sub("", path.read_text()) for path in files}
    assert {path for path, text in texts.items() if imports.search(text)} == {ROOT / "genre_classifier" / "session.py"}
