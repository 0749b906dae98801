"""The front's way to the model: what travels, what is retried, and when the model counts as gone."""

import asyncio

import aiohttp
import bentoml
import numpy as np
import pytest
from bentoml.exceptions import BentoMLException, ServiceUnavailable

from genre_classifier.outputs import Outputs
from genre_classifier.session import GenreSession
from serving import model_client
from serving.errors import ServiceError
from serving.model_client import RemoteModel, pack_result, stamp, unpack_result
from tests.support.audio import tone
from tests.support.stand_in import write_stand_in

CHUNKS = np.stack([tone(3), tone(3, 220)])


class Service:
    """A BentoML service whose model answers, or fails with each of these errors in turn."""

    def __init__(self, session):
        self.session = session
        self.failures = []
        self.ready = True
        self.calls = []
        self.model = self
        self.to_async = self

    def _fail(self, name):
        self.calls.append(name)
        if self.failures:
            raise self.failures.pop(0)

    async def info(self):
        self._fail("info")
        return self.session.info.model_dump()

    async def run(self, chunks):
        self._fail("run")
        return pack_result(self.session.run(chunks), 0.25, stamp(self.session.info))

    async def is_ready(self, _):
        return self.ready


@pytest.fixture(params=[False, True], ids=["plain", "tags and familiarity"])
def service(tmp_path, request, monkeypatch):
    tags = ["loud", "sad"] if request.param else []
    model = write_stand_in(tmp_path / "model.onnx", tags=tags, familiarity=request.param)
    service = Service(GenreSession(model, provider="cpu"))
    monkeypatch.setattr(bentoml, "get_current_service", lambda: service)
    return service


def test_outputs_arrive_as_they_were(service):
    outputs, seconds, info = asyncio.run(RemoteModel().run(CHUNKS))
    assert info == service.session.info
    assert seconds == 0.25
    for name, expected in service.session.run(CHUNKS)._asdict().items():
        given = getattr(outputs, name)
        if expected is None:
            assert given is None
        else:
            np.testing.assert_array_equal(given, expected)


def test_the_seconds_of_several_runs_add_up(service):
    packed = [pack_result(service.session.run(CHUNKS), seconds, 1) for seconds in (0.25, 0.5)]
    outputs, seconds, _ = unpack_result(np.concatenate(packed), service.session.info)
    assert seconds == 0.75
    assert len(outputs.log_probs) == 4


def test_an_answer_tells_of_the_model_that_made_it(service, tmp_path):
    """Its file was replaced, and its process started anew, since it was asked last."""
    client = RemoteModel()
    asyncio.run(client.info())
    other = write_stand_in(tmp_path / "other.onnx", labels=("loud", "soft", "slow"))
    service.session = GenreSession(other, provider="cpu")
    answer = asyncio.run(client.run(CHUNKS))
    assert answer.info.labels == ("loud", "soft", "slow")
    assert answer.outputs.log_probs.shape == (2, 3)
    np.testing.assert_array_equal(answer.outputs.embedding, service.session.run(CHUNKS).embedding)


def test_it_is_asked_again_where_its_word_is_old(service, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(model_client, "monotonic", lambda: now)
    client = RemoteModel()
    for after, asked in ((0, 1), (0.5, 1), (1.0, 2), (0.5, 2)):
        now += after
        asyncio.run(client.info(max_age=1))
        assert service.calls == ["info"] * asked
    now += 1000
    asyncio.run(client.info())
    assert service.calls == ["info"] * 2


@pytest.mark.parametrize("error", [aiohttp.ClientConnectionError(), aiohttp.ClientPayloadError()])
def test_a_broken_connection_is_retried_once(service, error):
    client = RemoteModel()
    asyncio.run(client.info())
    service.failures = [error]
    asyncio.run(client.run(CHUNKS))
    assert service.calls == ["info", "run", "run"]
    service.failures = [error, error]
    with pytest.raises(ServiceError) as refused:
        asyncio.run(client.run(CHUNKS))
    assert refused.value.kind == "restarting"


def test_a_busy_model_is_a_busy_service_and_other_faults_are_faults(service):
    client = RemoteModel()
    asyncio.run(client.info())
    service.failures = [ServiceUnavailable("process is overloaded")]
    with pytest.raises(ServiceError) as refused:
        asyncio.run(client.run(CHUNKS))
    assert refused.value.kind == "busy"
    service.failures = [BentoMLException("a fault")]
    with pytest.raises(BentoMLException, match="a fault"):
        asyncio.run(client.run(CHUNKS))


def test_a_value_that_is_not_finite_is_a_fault(service, monkeypatch):
    outputs = service.session.run(CHUNKS)
    broken = Outputs(outputs.log_probs * np.float32("nan"), *outputs[1:])
    monkeypatch.setattr(service.session, "run", lambda _: broken)
    with pytest.raises(FloatingPointError):
        asyncio.run(RemoteModel().run(CHUNKS))


def test_it_is_dead_only_after_ten_seconds_without_the_model(service, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(model_client, "monotonic", lambda: now)
    client = RemoteModel()

    def states():
        return asyncio.run(client.is_ready()), asyncio.run(client.is_alive())

    assert states() == (True, True)
    now += 3600
    service.ready = False
    assert states() == (False, True)  # however long ago the last probe was
    now += 10
    assert states() == (False, True)
    now += 0.1
    assert states() == (False, False)
    service.ready = True
    assert states() == (True, True)
    service.ready = False
    assert states() == (False, True)
