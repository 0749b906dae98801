"""The routes without a server: every refusal's status and sentence, and what an unexpected failure shows."""

import asyncio
import errno
import importlib.metadata
import io
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread
from typing import get_args

import httpx
import numpy as np
import pytest
from starlette import formparsers
from starlette.requests import Request
from starlette.testclient import TestClient

from genre_classifier import audio
from genre_classifier.audio import CHUNK_SAMPLES, AudioError
from genre_classifier.audio.chunk_memory import ChunkMemory
from genre_classifier.session import GenreSession, has_nvidia_driver
from genre_classifier.verdict import ClassifyOptions
from serving import errors
from serving.admission import Admission
from serving.errors import ServiceError
from serving.http.application import Application
from serving.http.errors import as_request_error
from serving.http.uploads import read_upload
from serving.model_client import Answer
from serving.pipeline import Figures, Pipeline
from serving.settings import ServiceSettings
from tests.support.audio import encode, tone


class LocalModel:
    """The model service without a process of its own; fails as it is told to."""

    def __init__(self, session):
        self.session = session
        self.failure = None
        self.calls = []

    async def info(self, *, max_age=0):  # noqa: ARG002
        return self.session.info

    async def is_ready(self):
        return not self.failure

    async def is_alive(self):
        return not self.failure

    async def run(self, chunks):
        self.calls.append(len(chunks))
        if self.failure:
            raise self.failure
        samples = np.stack([chunk.samples for chunk in chunks])
        return Answer(self.session.run(samples), 0.001, self.session.info)


def application(model, **settings):
    """The outermost application, without BentoML's."""
    return Application(Pipeline(model, ServiceSettings(**settings)), None)


@pytest.fixture(scope="module")
def model(stand_in):
    return LocalModel(GenreSession(stand_in, provider="cpu"))


@pytest.fixture
def web(model):
    model.failure, model.calls = None, []
    app = application(model, max_upload_mb=1, max_seconds=20, timeout=30)
    return TestClient(app, raise_server_exceptions=False)


SONG = encode(tone(7))


def song(name="song.wav", content=SONG):
    return ("audio", (name, content))


def test_a_method_of_any_length_is_told_in_few_words(web, caplog):
    answer = web.request("M" * 60_000, "/model")
    assert answer.status_code == 405
    assert answer.json() == {"error": "This address does not take such requests."}
    assert web.put("/model").json() == {"error": "This address does not take PUT requests."}
    assert all(len(record.getMessage()) < 500 for record in caplog.records)


def test_the_description_is_made_once(web, monkeypatch):
    first = web.get("/docs.json")
    monkeypatch.setattr("serving.http.application.describe", None)
    assert web.get("/docs.json").content == first.content


def refused(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert list(answer) == ["error"]
    assert answer["error"].endswith(".")
    assert "\n" not in answer["error"]
    assert "Traceback" not in answer["error"]
    assert ".py" not in answer["error"]
    return answer["error"]


def test_one_file_is_answered_with_an_object_and_its_chunks_travel_together(web, model):
    answer = web.post("/classify", files=[song()]).json()
    assert model.calls == [3]  # 7 seconds: two chunks, and one aligned to the end for the last second
    assert answer["duration"] == 7.0


def test_a_clip_alone_is_classified_while_it_is_decoded_and_others_as_a_whole(web, model):
    clip = encode(tone(19.5), container="MP3")
    alone = web.post("/classify", files=[song(content=clip)]).json()
    assert model.calls == [5, 2]
    model.calls.clear()
    assert web.post("/classify", files=[song(content=clip), song(content=clip)]).json() == [alone, alone]
    assert model.calls == [7, 7]


def test_several_files_are_answered_in_order_each_with_its_own_error(web):
    files = [song(), song("notes.txt", b"no music"), song("short.wav", encode(tone(1))), song()]
    response = web.post("/classify", files=files, data={"top_k": "1"})
    assert response.status_code == 200
    first, bad, short, last = response.json()
    assert first == last
    assert len(first["probabilities"]) == 1
    assert (bad["status"], short["status"]) == (400, 422)
    assert set(bad) == {"error", "status"}


@pytest.mark.parametrize(
    ("form", "aggregate"), [({}, "vote"), ({"aggregate": "mean"}, "mean"), ({"aggregate": '"mean"'}, "mean")]
)
@pytest.mark.parametrize(("top_k", "kept"), [(None, 10), ("3", 3), ("null", 10), ("", 10), ("10", 10)])
def test_parameters_are_plain_or_json(web, form, aggregate, top_k, kept):
    answer = web.post("/classify", files=[song()], data={**form, **({} if top_k is None else {"top_k": top_k})}).json()
    assert (answer["aggregate"], len(answer["probabilities"])) == (aggregate, kept)


@pytest.mark.parametrize("form", [{"top_k": text} for text in ("0", "11", "-1", "2.5", "true", "many", "[" * 4000)])
def test_a_bad_top_k_is_refused(web, form):
    assert "1 to 10" in refused(web.post("/classify", files=[song()], data=form), 400)


@pytest.mark.parametrize("aggregate", ["sum", "Vote", "1", "{}"])
def test_a_bad_aggregate_is_refused(web, aggregate):
    assert "vote or mean" in refused(web.post("/classify", files=[song()], data={"aggregate": aggregate}), 400)


@pytest.mark.parametrize("path", ["/classify", "/embed"])
def test_what_is_no_upload_is_refused(web, path):
    refused(web.post(path), 400)
    refused(web.post(path, json={"audio": "x"}), 400)
    refused(web.post(path, content=SONG, headers={"Content-Type": "audio/wav"}), 400)
    refused(web.post(path, content=b"x", headers={"Content-Type": "application/vnd.bentoml+pickle"}), 400)
    refused(web.post(path, content=b"x", headers={"Content-Type": "multipart/form-data"}), 400)
    refused(web.post(path, content=b"x", headers={"Content-Type": "multipart/form-data; boundary=a"}), 400)
    assert "missing" in refused(web.post(path, files=[("file", ("song.wav", SONG))]), 400)
    nothing = b'--b\r\nContent-Disposition: form-data; name="audio"; filename=""\r\n\r\n\r\n--b--\r\n'  # a browser's
    response = web.post(path, content=nothing, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert "No file" in refused(response, 400)
    refused(web.post(path, files=[song("empty.mp3", b"")]), 400)
    refused(web.post(path, files=[song(content=b"x")] * 101), 400)


def test_statuses_of_audio(web):
    refused(web.post("/classify", files=[song(content=encode(tone(1)))]), 422)
    refused(web.post("/classify", files=[song(content=encode(tone(21, rate=8000), rate=8000))]), 413)
    assert "silent" in refused(web.post("/classify", files=[song(content=encode(np.zeros(CHUNK_SAMPLES)))]), 422)
    refused(web.post("/classify", files=[song(content=bytes(5000))]), 400)
    nan = encode(np.full(CHUNK_SAMPLES, np.nan), subtype="FLOAT")
    refused(web.post("/classify", files=[song(content=nan)]), 400)


def test_a_body_too_large_is_refused_by_its_length_and_while_it_comes(web):
    large = bytes(2 * 2**20)
    assert "1 MiB" in refused(web.post("/classify", files=[song(content=large)]), 413)
    request = web.build_request("POST", "/classify", files=[song(content=large)])
    read = 0

    def parts():
        nonlocal read
        body = request.read()
        for first in range(0, len(body), 65536):
            read += 65536
            yield body[first : first + 65536]

    headers = {"Content-Type": request.headers["content-type"]}
    assert "1 MiB" in refused(web.post("/classify", content=parts(), headers=headers), 413)


def test_a_full_disk_is_told_and_leaves_nothing(model, monkeypatch):
    class Full(io.BytesIO):
        name = "file"
        _rolled = True

        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    made = []
    monkeypatch.setattr(formparsers, "SpooledTemporaryFile", lambda **_: made.append(Full()) or made[-1])
    web = TestClient(application(model), raise_server_exceptions=False)
    answer = web.post("/classify", files=[song(content=encode(tone(60)))])
    assert (answer.status_code, list(answer.json())) == (503, ["error"])
    assert "no room" in answer.json()["error"]
    assert answer.headers["retry-after"]
    assert made
    assert all(each.closed for each in made)


def test_an_upload_that_does_not_end_is_given_up():
    async def receive():
        await asyncio.sleep(60)

    async def upload():
        headers = [(b"content-type", b"multipart/form-data; boundary=b")]
        request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
        admission = Admission(max_wait=1, max_bytes=1000)
        async with read_upload(request, admission, max_mb=1, seconds=0.05, labels=10):
            pass

    with pytest.raises(ServiceError, match=r"longer than 0\.05 seconds") as caught:
        asyncio.run(upload())
    assert as_request_error(caught.value).status == 408


@pytest.mark.parametrize("fault", ["the model fails", "its client leaves", "it is too long"])
def test_a_file_that_fails_leaves_no_slot_taken(model, monkeypatch, fault):
    """Of few slots, a decoder would soon find none free, and wait for ever."""
    monkeypatch.setattr("serving.pipeline.CHUNKS_IN_MEMORY", 6)
    monkeypatch.setattr(model, "failure", None)
    endless = bytearray(encode(tone(24, rate=8000), rate=8000, container="FLAC"))
    endless[21] &= 0xF0  # the number of samples, 36 bits of the first block: the length is not declared
    endless[22:26] = bytes(4)
    pipeline = Pipeline(model, ServiceSettings(workers=99, max_seconds=20))

    async def classify(content=SONG):
        return await pipeline.classify(io.BytesIO(content), ClassifyOptions(), Figures())

    async def scene():
        for _ in range(5):
            if fault == "the model fails":
                model.failure = ServiceError("busy", "busy")
                with pytest.raises(ServiceError):
                    await classify()
            elif fault == "its client leaves":
                asked = Event()
                monkeypatch.setattr(model, "run", lambda _, asked=asked: asked.set() or asyncio.sleep(60))
                left = asyncio.create_task(classify())
                assert await asyncio.to_thread(asked.wait, 10)
                left.cancel()
                await asyncio.gather(left, return_exceptions=True)
                monkeypatch.undo()
            else:
                with pytest.raises(AudioError) as refused:
                    await classify(bytes(endless))
                assert refused.value.kind == "too_long"
            model.failure = None
        assert len((await classify()).segments) == 3

    asyncio.run(asyncio.wait_for(scene(), 15))


def test_an_answer_that_does_not_come_is_given_up(model):
    class Sleeping(LocalModel):
        async def run(self, chunks):  # noqa: ARG002
            await asyncio.sleep(60)

    response = TestClient(application(Sleeping(model.session), timeout=1)).post("/classify", files=[song()])
    assert "try again" in refused(response, 503)
    assert response.headers["retry-after"]


def test_a_url_is_never_fetched(web):
    fetched = []

    class Trap(BaseHTTPRequestHandler):
        def do_GET(self):
            fetched.append(self.path)
            self.send_response(200)
            self.end_headers()

    trap = HTTPServer(("127.0.0.1", 0), Trap)
    Thread(target=trap.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{trap.server_port}/song.mp3"
    try:
        refused(web.post("/classify", files=[("audio", (None, url))]), 400)
        refused(web.post("/classify", data={"audio": url}), 400)
        refused(web.post("/classify", json={"audio": url}), 400)
        refused(web.post("/classify", json={"audio": [url]}), 400)
        refused(web.post("/classify", content=url, headers={"Content-Type": "text/plain"}), 400)
        refused(web.post("/classify", files=[song(), ("audio", (None, url))]), 400)
        refused(web.post("/classify", files=[song("list.m3u", url.encode())]), 400)
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n"
        refused(web.post("/classify", files=[song("list.m3u8", playlist.encode())]), 400)
        concat = f"ffconcat version 1.0\nfile {url}\n"
        refused(web.post("/classify", files=[song("list.ffconcat", concat.encode())]), 400)
        assert fetched == []
    finally:
        trap.shutdown()
        trap.server_close()


def test_a_busy_model_is_told_with_retry_after(web, model):
    model.failure = ServiceError("The service is busy: try again later.", "busy")
    response = web.post("/classify", files=[song()])
    refused(response, 503)
    assert response.headers["retry-after"] == "1"
    assert [answer["status"] for answer in web.post("/classify", files=[song(), song()]).json()] == [503, 503]


def test_probes_are_the_model_s(web, model):
    assert web.get("/readyz").status_code == web.get("/livez").status_code == 200
    model.failure = ServiceError("Not now.", "busy")
    for path in ("/readyz", "/livez"):
        refused(web.get(path), 503)


def test_every_error_has_a_status():
    for kind in get_args(audio.errors.Kind):
        assert 400 <= as_request_error(AudioError("It was not to be.", kind)).status < 500
    for kind in get_args(errors.Kind):
        refusal = as_request_error(ServiceError("Not now.", kind, retry_after=7))
        assert refusal.status in {408, 503}
        assert refusal.headers == ({"Retry-After": "7"} if refusal.status == 503 else {})


def test_it_is_ready_when_a_clip_has_been_classified(model):
    classified = asyncio.Event()

    class Slow(LocalModel):
        async def run(self, chunks):
            await classified.wait()
            return await super().run(chunks)

    async def scene():
        pipeline = Pipeline(Slow(model.session), ServiceSettings())
        assert await pipeline.is_ready()  # nothing was begun
        pipeline.warm_up()
        await asyncio.sleep(0.5)
        assert not await pipeline.is_ready()
        classified.set()
        async with asyncio.timeout(10):
            while not await pipeline.is_ready():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert pipeline.model.calls == [3]  # the sample's

    asyncio.run(scene())


def test_of_several_files_those_are_answered_that_were_in_time(model):
    class Slow(LocalModel):
        async def run(self, chunks):
            await asyncio.sleep(0 if len(chunks) == 1 else 60)
            return await super().run(chunks)

    files = [song(content=encode(tone(3))), song(), song(content=encode(tone(3)))]
    answers = TestClient(application(Slow(model.session), timeout=1)).post("/classify", files=files).json()
    assert [answer.get("status") for answer in answers] == [None, 503, None]


def test_a_file_is_not_closed_under_its_decoder(model, monkeypatch):
    """A thread cannot be cancelled: what it reads stays open until it has done."""
    seen = []

    def hang(_pool, _clip, source, *, abandoned, **_):
        yield ChunkMemory(1).chunk(0)
        assert abandoned.wait(60)
        seen.append(source.closed)
        raise AudioError("It was given up.", "too_costly")

    monkeypatch.setattr("serving.pipeline.DecoderPool.read_shared", hang)
    refused(TestClient(application(model, timeout=1)).post("/classify", files=[song()]), 503)
    assert seen == [False]


def test_what_a_client_that_left_sent_is_dropped(model):
    """Its place is free as soon as it is gone."""
    running, gone = asyncio.Event(), asyncio.Event()

    class Slow(LocalModel):
        async def run(self, chunks):  # noqa: ARG002
            running.set()
            try:
                await asyncio.sleep(60)
            finally:
                gone.set()

    async def scene():
        request = httpx.Request("POST", "http://x/classify", files=[song()])
        messages = [{"type": "http.request", "body": request.read(), "more_body": False}]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/classify",
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in request.headers.items()],
        }

        async def receive():
            if messages:
                return messages.pop()
            await running.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        sent = []
        async with asyncio.timeout(10):
            await application(Slow(model.session))(scope, receive, send)
        assert gone.is_set()
        assert sent[0]["status"] == 499

    asyncio.run(scene())


def test_the_unexpected_is_a_plain_sentence_and_logged(web, model, caplog):
    model.failure = ZeroDivisionError("secret in /home/me/serving.py")
    assert "secret" not in refused(web.post("/classify", files=[song()]), 500)
    assert all("secret" not in answer["error"] for answer in web.post("/classify", files=[song(), song()]).json())
    assert "secret" in caplog.text


def test_addresses_and_methods_that_are_none(web):
    refused(web.get("/nothing"), 404)
    response = web.get("/classify")
    refused(response, 405)
    assert response.headers["allow"] == "POST"
    refused(web.put("/model"), 405)


def test_the_model_and_the_limits(web):
    answer = web.get("/model").json()
    assert answer["version"] == "stand-in"
    assert answer["release"] == importlib.metadata.version("genre-classifier")
    assert answer["provider"] == "CPUExecutionProvider"
    assert len(answer["labels"]) == 10
    assert answer["metrics"] == {"test": {"track_accuracy": 0.1}}
    assert answer["limits"] == {
        "max_upload_mb": 1,
        "max_seconds": 20.0,
        "max_batch_size": 64 if has_nvidia_driver() else 16,
        "max_files": 100,
        "max_wait": 15.0,
        "timeout": 30.0,
        "upload_timeout": 300.0,
    }


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html"),
        ("/about", "text/html"),
        ("/docs", "text/html"),
        ("/page/page.css", "text/css"),
        ("/page/page.js", "text/javascript"),
    ],
)
def test_the_page_asks_no_other_host(web, path, media_type):
    response = web.get(path)
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "://" not in response.text.replace(str(web.base_url), "")
    if path == "/":
        assert "//" not in response.text.replace("</", "")
        assert "style=" not in response.text


def test_an_embedding(web):
    answer = web.post("/embed", files=[song()]).json()
    assert list(answer) == ["embedding", "duration", "model"]
    assert len(answer["embedding"]) == 128
    assert json.dumps(answer, allow_nan=False)
