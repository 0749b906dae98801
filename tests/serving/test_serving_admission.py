"""Who is admitted and who is refused: by the work in hand, by the speed there was, by the bytes held."""

import asyncio
import io

import pytest

from serving.admission import INITIAL_SPEED, MIN_SPEED, Admission, estimate
from serving.errors import ServiceError
from serving.metrics import wait_seconds
from serving.weighted_semaphore import WeightedSemaphore
from tests.support.audio import encode, encode_av, tone


@pytest.fixture
def admission():
    return Admission(max_wait=30, max_bytes=1000)


def refuses(admission):
    with pytest.raises(ServiceError) as refused:
        admission.check()
    return refused.value.kind == "busy" and 1 <= refused.value.retry_after <= 15


def test_who_comes_first_is_admitted_however_much_it_brings(admission):
    with admission.admit([1e6]):
        assert refuses(admission)
    admission.check()


def test_work_is_admitted_up_to_what_can_wait(admission):
    with admission.admit([12 * INITIAL_SPEED, 8 * INITIAL_SPEED]):
        assert admission.wait == pytest.approx(20)
        with admission.admit([15 * INITIAL_SPEED]):
            assert refuses(admission)
            with pytest.raises(ServiceError), admission.admit([1]):
                pass
        admission.check()
    assert admission.wait == 0


def test_the_wait_is_a_metric(admission):
    with admission.admit([12 * INITIAL_SPEED]):
        assert wait_seconds()._value.get() == pytest.approx(12)  # noqa: SLF001
    assert wait_seconds()._value.get() == 0  # noqa: SLF001


def test_an_estimate_is_corrected_as_the_work_goes_on(admission):
    with admission.admit([1.0, 1.0]) as (first, second):
        first.seconds = 31 * INITIAL_SPEED
        assert refuses(admission)
        first.seconds -= 2 * INITIAL_SPEED
        admission.check()
        second.seconds = 0.0
        assert admission.wait == pytest.approx(29)


def test_the_speed_there_was_decides(admission):
    for second in range(100):
        admission.learn(600, second, second + 1)
    assert admission.speed == pytest.approx(600, rel=0.01)
    with admission.admit([29 * 600]):
        admission.check()
        with admission.admit([2 * 600]):
            assert refuses(admission)


def test_idle_time_is_not_counted(admission):
    for turn in range(100):
        admission.learn(600, 1000 * turn, 1000 * turn + 1)
    assert admission.speed == pytest.approx(600, rel=0.01)


def test_work_at_once_counts_its_time_once(admission):
    for second in range(100):
        for _ in range(4):
            admission.learn(300, second, second + 1)
    assert admission.speed == pytest.approx(1200, rel=0.01)


def test_a_slow_service_is_not_thought_dead(admission):
    for hour in range(100):
        admission.learn(1, 3600 * hour, 3600 * (hour + 1))
    assert admission.speed == MIN_SPEED


def test_bytes_are_held_until_the_request_is_answered(admission):
    async def receive():
        with admission.receive() as first:
            first.add(900)
            with pytest.raises(ServiceError) as refused, admission.receive() as second:
                second.add(101)
            assert refused.value.kind == "busy"
            with admission.receive() as second:
                second.add(100)
            assert (first.total, second.total) == (900, 100)
        with admission.receive() as third:
            third.add(1000)

    asyncio.run(receive())


def test_an_upload_under_way_is_given_up_soon_when_the_service_stops(admission, monkeypatch):
    monkeypatch.setattr("serving.admission.STOPPING_GRACE_SECONDS", 0.05)

    async def receive():
        async with admission.upload_within(60):  # one that is received
            pass
        async with admission.upload_within(60):
            admission.stop()
            await asyncio.sleep(60)

    with pytest.raises(ServiceError, match="stopped") as refused:
        asyncio.run(asyncio.wait_for(receive(), 5))
    assert refused.value.kind == "stopping"


def test_the_estimate_of_a_files_length():
    """By size and first bytes alone: a decoder corrects it once the file is admitted."""
    waveform = tone(30, rate=44100)
    for kind in ("WAV", "FLAC", "MP3", "OGG", "AU", "AIFF"):
        file = io.BytesIO(encode(waveform, rate=44100, container=kind))
        assert 8 < estimate(file, 1200) < 90, kind
        assert file.tell() == 0
    assert 10 < estimate(io.BytesIO(encode_av(waveform, 44_100, "mp4", "aac")), 1200) < 90
    assert estimate(io.BytesIO(bytes(10**8)), 1200) == 1200
    assert estimate(io.BytesIO(), 1200) == 0


def test_units_are_given_in_order_and_come_back():
    async def scene():
        units = WeightedSemaphore(10)
        inside = []
        leave = {name: asyncio.Event() for name in "abcd"}

        async def stay(name, wanted):
            async with units.acquire(wanted):
                inside.append(name)
                await leave[name].wait()
            inside.remove(name)

        async def settle():
            for _ in range(5):
                await asyncio.sleep(0)
            return "".join(inside)

        tasks = {name: asyncio.create_task(stay(name, wanted)) for name, wanted in zip("abc", (6, 99, 1), strict=True)}
        assert await settle() == "a"  # b wants all there is, and c does not overtake it
        tasks["b"].cancel()
        assert await settle() == "ac"
        leave["a"].set()
        leave["c"].set()
        assert await settle() == ""
        tasks["d"] = asyncio.create_task(stay("d", 10))
        assert await settle() == "d"  # all of it is there again
        tasks["d"].cancel()
        await settle()
        async with asyncio.timeout(1), units.acquire(10):
            pass

    asyncio.run(scene())


def test_units_are_not_lost_where_a_turn_and_a_cancellation_meet():
    async def scene():
        units = WeightedSemaphore(1)
        async with units.acquire(1):
            waiting = asyncio.create_task(units.acquire(1).__aenter__())
            await asyncio.sleep(0)
        waiting.cancel()  # it has its turn by now, and does not know yet
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(1), units.acquire(1):
            pass

    asyncio.run(scene())
