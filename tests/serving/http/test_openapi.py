"""The description at /docs.json, tried by schemathesis, and held against answers to real files."""

import re
import subprocess
import sys

import jsonschema_rs
import pytest

from serving.http.application import OUR_PATHS
from serving.http.device import DEVICE_PATH
from serving.http.pages import FILES_PATH
from tests.support.audio import encode, tone
from tests.support.server import Server

SONG = encode(tone(4))


@pytest.fixture
def guarded(tmp_path, served_model):
    """A server that asks for a key."""
    with Server(tmp_path, GENRE_MODEL=str(served_model), GENRE_WORKERS="1", GENRE_API_KEYS="secret") as server:
        yield server


@pytest.mark.parametrize(
    ("name", "arguments"), [("server", []), ("guarded", ["--header", "Authorization: Bearer secret"])]
)
def test_schemathesis_finds_nothing(request, tmp_path, name, arguments):
    """All its checks but one: it takes any bytes for a file that should be accepted, and not all bytes are audio."""
    server = request.getfixturevalue(name)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/docs.json", *arguments),
            *("--checks", "all", "--exclude-checks", "positive_data_acceptance", "--max-examples", "30", "--no-color"),
            *("--seed", "1"),  # by chance it draws an empty array, which has no part in a form, and wants it refused
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:]
    assert int(re.search(r"(\d+) passed", run.stdout.rpartition("Test cases")[2])[1]) > 50


@pytest.fixture
def docs(client):
    return client.get("/docs.json").json()


def schema_of(docs, path, method="post", status="200"):
    (content,) = docs["paths"][path][method]["responses"][status]["content"].values()
    return jsonschema_rs.validator_for({**content["schema"], "components": docs["components"]})


def file(content=SONG):
    return ("audio", ("song.wav", content))


@pytest.mark.parametrize("path", ["/classify", "/embed"])
def test_answers_are_as_described(client, docs, path):
    answers = schema_of(docs, path)
    one = client.post(path, files=[file()])
    several = client.post(path, files=[file(), file(b"no music")])
    broken = client.post(path, files=[file(SONG[: len(SONG) * 8 // 10])])
    assert one.status_code == several.status_code == broken.status_code == 200
    assert "warning" in broken.json()
    for answer in (one, several, broken):
        answers.validate(answer.json())
    refused = client.post(path, files=[file(b"no music")])
    schema_of(docs, path, status=str(refused.status_code)).validate(refused.json())
    assert not answers.is_valid(refused.json())
    assert not answers.is_valid([one.json(), {"error": "without a status"}])


def test_silent_segments_are_as_described(client, docs):
    quiet = tone(9)
    quiet[66150 : 2 * 66150] = 0
    answer = client.post("/classify", files=[file(encode(quiet))]).json()
    assert answer["segments"][1]["genre"] is None
    schema_of(docs, "/classify").validate(answer)


def test_the_model_is_as_described(client, docs):
    schema_of(docs, "/model", "get").validate(client.get("/model").json())


def test_every_address_is_described(docs):
    assert set(docs["paths"]) == OUR_PATHS - {FILES_PATH, DEVICE_PATH} | {
        "/metrics"
    }  # the pages' files are their own affair
