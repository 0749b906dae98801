"""A real `bentoml serve`: every way in, the same answer for every format, batching across requests, clean refusals."""

import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import bentoml
import httpx
import numpy as np
import pytest

from tests.support import ROOT
from tests.support.audio import encode, encode_av, tone
from tests.support.server import Server

SAMPLE = ROOT / "artifacts" / "sample.mp3"


def classify(client, content, **form):
    response = client.post("/classify", files=[("audio", ("song", content))], data=form)
    assert response.status_code == 200, response.text
    return response.json()


def test_it_is_ready_and_says_what_it_runs(client):
    assert client.get("/livez").status_code == 200
    answer = client.get("/model").json()
    assert answer["provider"] == "CPUExecutionProvider"
    assert answer["limits"]["max_upload_mb"] == 8


@pytest.mark.skipif(not SAMPLE.exists(), reason="no sample clip yet")
def test_the_sample_clip(client):
    answer = classify(client, SAMPLE.read_bytes())
    labels = client.get("/model").json()["labels"]
    assert answer["genre"] in labels
    assert set(answer["probabilities"]) == set(labels)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert sum(answer["votes"].values()) == len(answer["segments"])


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_lossless_formats_agree(client, rate, channels):
    waveform = np.stack([tone(4, 220 * (1 + channel), rate=rate) for channel in range(channels)], axis=1)
    samples = (waveform * 32767).astype(np.int16)  # libsndfile would round floats differently for each format
    wav = classify(client, encode(samples, rate=rate, subtype="PCM_16"))
    for format in ("FLAC", "AU"):  # noqa: A001
        other = classify(client, encode(samples, rate=rate, container=format, subtype="PCM_16"))
        assert other["genre"] == wav["genre"]
        assert other["probabilities"] == pytest.approx(wav["probabilities"], abs=1e-5)


@pytest.mark.parametrize("format", ["MP3", "OGG", "M4A"])
def test_lossy_formats(client, format):  # noqa: A002
    waveform = tone(7, rate=44100)
    content = (
        encode_av(waveform, 44_100, "mp4", "aac") if format == "M4A" else encode(waveform, rate=44100, container=format)
    )
    answer = classify(client, content)
    assert answer["duration"] == pytest.approx(7, abs=0.15)
    assert len(answer["segments"]) == 3


def test_bentomls_own_client(server, tmp_path):
    path = tmp_path / "song.wav"
    path.write_bytes(encode(tone(4)))
    with bentoml.SyncHTTPClient(server.url) as client:
        answer = client.classify(audio=path)
        assert answer["aggregate"] == "vote"
        assert client.classify(audio=path, top_k=2, aggregate="mean")["aggregate"] == "mean"
        assert [each["genre"] for each in client.classify(audio=[path, path])] == [answer["genre"]] * 2
        posted = httpx.post(f"{server.url}/embed", files={"audio": path.read_bytes()}, timeout=60).json()
        assert client.embed(audio=path)["embedding"] == pytest.approx(posted["embedding"], abs=1e-4)
        with pytest.raises(bentoml.exceptions.InvalidArgument, match="error"):
            client.classify(audio=ROOT / "LICENSE")


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl_with_one_and_with_two_files(server, tmp_path):
    (tmp_path / "a.wav").write_bytes(encode(tone(4)))
    (tmp_path / "b.mp3").write_bytes(encode(tone(4, 110), container="MP3"))
    curl = ["curl", "-sS", f"{server.url}/classify", "-F", f"audio=@{tmp_path}/a.wav"]
    one = json.loads(subprocess.check_output(curl))
    two = json.loads(subprocess.check_output([*curl, "-F", f"audio=@{tmp_path}/b.mp3", "-F", "top_k=1"]))
    assert one["genre"] == two[0]["genre"]
    assert [len(answer["probabilities"]) for answer in two] == [1, 1]


def session_runs(client):
    """Runs of the session so far, and the rows they had."""
    text = client.get("/metrics").text
    return [
        float(re.search(rf"^genre_session_rows_{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)[1])
        for name in ("count", "sum")
    ]


def test_files_that_are_sent_at_once_share_runs_of_the_session(server, client):
    songs = [encode(tone(9, 110 * (1 + index))) for index in range(30)]  # of three chunks, five to a batch
    alone = [classify(client, song) for song in songs]
    runs_before, rows_before = session_runs(client)
    with ThreadPoolExecutor(30) as pool, httpx.Client(base_url=server.url, timeout=60) as clients:
        together = list(pool.map(lambda song: classify(clients, song), songs))
    runs, rows = session_runs(client)
    assert rows - rows_before == 90
    assert runs - runs_before < 30
    for one, other in zip(alone, together, strict=True):
        assert other["genre"] == one["genre"]
        assert other["probabilities"] == pytest.approx(one["probabilities"], abs=1e-4)


def test_the_metrics_name_the_model(client):
    text = client.get("/metrics").text
    version = client.get("/model").json()["version"]
    assert re.search(rf'^genre_model_info{{.*version="{re.escape(version)}".*}} 1\.0$', text, re.MULTILINE)
    assert 'provider="CPUExecutionProvider"' in text


def test_a_long_clip_is_split_over_runs(client):
    waveform = tone(240, rate=8000)  # 80 chunks, more than one run takes
    answer = classify(client, encode(waveform, rate=8000, container="FLAC"), top_k="1")
    assert len(answer["segments"]) == 80
    assert answer["segments"][-1]["end"] == 240.0


def test_a_gigabyte_is_refused_before_it_is_sent(server):
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest("POST", "/classify")
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    connection.putheader("Content-Length", str(2**30))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert list(json.loads(response.read())) == ["error"]
    connection.close()


def test_refusals_come_through_bentoml_unchanged(client):
    for response, status in [
        (client.post("/classify", files=[("audio", (None, "http://127.0.0.1:9/song.mp3"))]), 400),
        (
            client.post("/classify", content=b"\x80\x04N.", headers={"Content-Type": "application/vnd.bentoml+pickle"}),
            400,
        ),
        (client.get("/classify"), 405),
        (client.get("/static_content/index.html"), 404),
    ]:
        assert response.status_code == status
        assert list(response.json()) == ["error"]


def test_the_page_is_ours(client):
    page = client.get("/").text
    assert "Which genre is it?" in page
    assert "bentoml" not in page.lower()


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"GENRE_MODEL": "/nowhere/genre.onnx"}, "There is no model file at /nowhere/genre.onnx"),
        ({"GENRE_MODEL": str(ROOT / "LICENSE")}, "is not a model that ONNX Runtime can load"),
        ({"GENRE_WORKERS": "none"}, "GENRE_WORKERS='none' is not valid"),
        ({"GENRE_PROVIDER": "cuda", "CUDA_VISIBLE_DEVICES": ""}, "CUDA does not work"),
    ],
)
def test_a_start_that_cannot_be_ends_with_one_sentence(tmp_path, served_model, environment, sentence):
    server = Server(tmp_path, **{"GENRE_MODEL": str(served_model), **environment})
    try:
        assert server.process.wait(30) != 0
    finally:
        server.process.kill()
    log = server.log.read_text()
    assert sentence in log
    assert "Traceback" not in log
    assert len(log.strip().splitlines()) == 1


def test_it_starts_anywhere_by_the_folder_of_the_clone(tmp_path, served_model):
    server = Server(
        tmp_path,
        str(ROOT),
        cwd=tmp_path,
        GENRE_MODEL=str(served_model),
        GENRE_WORKERS="1",
    )
    try:
        server.wait()
        answer = httpx.post(f"{server.url}/classify", files={"audio": encode(tone(3))}, timeout=30)
        assert answer.status_code == 200
    finally:
        server.stop()
    assert server.process.returncode == 0
