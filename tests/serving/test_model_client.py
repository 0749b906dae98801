"""The front's way to the model: what travels, what is handed over and retried, and when the model counts as gone."""

import asyncio

import aiohttp
import bentoml
import numpy as np
import pytest
from bentoml.exceptions import BentoMLException, ServiceUnavailable

from genre_classifier.audio import CHUNK_SAMPLES
from genre_classifier.audio.chunk_memory import ChunkMemory, release
from genre_classifier.outputs import Outputs
from genre_classifier.session import GenreSession
from serving import model_client
from serving.errors import ServiceError
from serving.model_client import NOT_THERE, READY_SECONDS, RemoteModel, pack_result, stamp, unpack_result
from serving.run_folder import FOLDER
from tests.support.audio import tone
from tests.support.receiver import MortalReceiver
from tests.support.stand_in import write_stand_in

SAMPLES = np.stack([tone(3), tone(3, 220)])
MEMORY = ChunkMemory(3)
MEMORY.chunks[1:] = SAMPLES
CHUNKS = [MEMORY.chunk(1), MEMORY.chunk(2)]


class Service:
    """A BentoML service whose model answers, or fails with each of these errors in turn."""

    def __init__(self, session, folder):
        self.session = session
        self.folder = folder
        self.receiver = MortalReceiver(folder)
        self.input = np.empty((2, CHUNK_SAMPLES), np.float32)
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

    async def run(self, places):
        self._fail("run")
        there = self.receiver.gather(places, self.input)
        packed = pack_result(self.session.run(self.input), 0.25, stamp(self.session.info))
        packed[~there, -1] = NOT_THERE
        return packed

    def replace(self):
        """End its process, and start another."""
        self.receiver.die()
        self.receiver = MortalReceiver(self.folder)

    async def is_ready(self, _):
        return self.ready


@pytest.fixture(params=[False, True], ids=["plain", "tags and familiarity"])
def service(tmp_path, request, monkeypatch):
    tags = ["loud", "sad"] if request.param else []
    model = write_stand_in(tmp_path / "model.onnx", tags=tags, familiarity=request.param)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    service = Service(GenreSession(model, provider="cpu"), tmp_path)
    monkeypatch.setattr(bentoml, "get_current_service", lambda: service)
    yield service
    service.receiver.die()


def test_outputs_arrive_as_they_were(service):
    outputs, seconds, info = asyncio.run(RemoteModel().run(CHUNKS))
    assert info == service.session.info
    assert seconds == 0.25
    for name, expected in service.session.run(SAMPLES)._asdict().items():
        given = getattr(outputs, name)
        if expected is None:
            assert given is None
        else:
            np.testing.assert_array_equal(given, expected)


def test_the_seconds_of_several_runs_add_up(service):
    packed = [pack_result(service.session.run(SAMPLES), seconds, 1) for seconds in (0.25, 0.5)]
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
    np.testing.assert_array_equal(answer.outputs.embedding, service.session.run(SAMPLES).embedding)


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


def test_memory_is_handed_over_again_to_a_new_process(service):
    client = RemoteModel()
    expected = asyncio.run(client.run(CHUNKS)).outputs
    service.replace()
    service.calls.clear()
    np.testing.assert_array_equal(asyncio.run(client.run(CHUNKS)).outputs.embedding, expected.embedding)
    assert service.calls == ["run"] * 2  # the first of which is refused
    asyncio.run(client.run(CHUNKS))
    assert service.calls == ["run"] * 3


def test_a_process_that_is_replaced_while_it_is_asked_is_asked_again(service):
    """No one listens for memory when the front comes with it, and the call waits for the next process."""
    client = RemoteModel()
    asyncio.run(client.info())
    service.receiver.die()
    run = service.run

    async def run_when_it_is_back(places):
        service.run = run
        service.receiver = MortalReceiver(service.folder)
        return await run(places)

    service.run = run_when_it_is_back
    assert len(asyncio.run(client.run(CHUNKS)).outputs.log_probs) == 2


def test_a_chunk_that_is_gone_gets_no_answer(service):
    memory = ChunkMemory(1)
    gone = memory.chunk(0)
    release([gone])
    memory.chunks[:] = tone(3)  # another one is there by now
    with pytest.raises(ServiceError) as refused:
        asyncio.run(RemoteModel().run([CHUNKS[0], gone]))
    assert refused.value.kind == "restarting"
    assert service.calls == ["run"] * 2
    assert len(asyncio.run(RemoteModel().run(CHUNKS)).outputs.log_probs) == 2


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
    outputs = service.session.run(SAMPLES)
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


def test_whether_it_is_ready_is_said_by_the_time_that_is_set():
    assert aiohttp.ClientTimeout().ceil_threshold > READY_SECONDS, "aiohttp rounds it up to a whole second"
