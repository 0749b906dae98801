"""Who is admitted and who is refused: by the work in hand, by the speed there was, by the bytes held."""

import asyncio
import io

import pytest
from serving_stand_in import sound_file, tone

from serving.admission import FIRST_SPEED, LEAST_SPEED, Admission, estimate
from serving.errors import RequestError


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def admission(clock):
    return Admission(max_wait=30, max_bytes=1000, clock=clock)


def refuses(admission):
    with pytest.raises(RequestError) as refused:
        admission.check()
    return refused.value.status == 503 and int(refused.value.headers["Retry-After"]) >= 1


def test_who_comes_first_is_admitted_however_much_it_brings(admission):
    with admission.admit(1e6):
        assert refuses(admission)
    admission.check()


def test_work_is_admitted_up_to_what_can_wait(admission):
    with admission.admit(20 * FIRST_SPEED):
        assert admission.wait == pytest.approx(20)
        with admission.admit(15 * FIRST_SPEED):
            assert refuses(admission)
            with pytest.raises(RequestError), admission.admit(1):
                pass
        admission.check()
    assert admission.wait == 0


def work(admission, clock, music, seconds):
    with admission.admit(music):
        clock.now += seconds


def test_the_speed_there_was_decides(admission, clock):
    for _ in range(100):
        work(admission, clock, 600, 1)
    with admission.admit(29 * 600):
        admission.check()
        with admission.admit(2 * 600):
            assert refuses(admission)


def test_idle_time_is_not_counted(admission, clock):
    for _ in range(100):
        work(admission, clock, 600, 1)
        clock.now += 1000
    with admission.admit(29 * 600):
        assert admission.wait == pytest.approx(29, rel=0.01)


def test_work_at_once_counts_its_time_once(admission, clock):
    for _ in range(100):
        with admission.admit(300), admission.admit(300):
            clock.now += 1
    with admission.admit(600):
        assert admission.wait == pytest.approx(1, rel=0.01)


def work_badly(clock):
    clock.now += 1
    raise EOFError


def test_what_fails_teaches_no_speed_and_stops_nobody(admission, clock):
    for _ in range(1000):
        with pytest.raises(EOFError), admission.admit(1e6):
            work_badly(clock)
    with admission.admit(60):
        assert admission.wait == pytest.approx(60 / LEAST_SPEED)
        admission.check()


def test_bytes_are_held_until_the_request_is_answered(admission):
    async def receive():
        with admission.receive() as first:
            first.count(900)
            with pytest.raises(RequestError) as refused, admission.receive() as second:
                second.count(101)
            assert refused.value.status == 503
            with admission.receive() as second:
                second.count(100)
            assert (first.bytes, second.bytes) == (900, 100)
        with admission.receive() as third:
            third.count(1000)

    asyncio.run(receive())


def test_an_upload_under_way_is_given_up_soon_when_the_service_stops(admission, monkeypatch):
    monkeypatch.setattr("serving.admission.STOPPING_GRACE", 0.05)

    async def receive():
        async with admission.within(60):  # one that is received
            pass
        async with admission.within(60):
            admission.stop()
            await asyncio.sleep(60)

    with pytest.raises(RequestError, match="stopped") as refused:
        asyncio.run(asyncio.wait_for(receive(), 5))
    assert refused.value.status == 503


def test_the_guess_of_a_files_length():
    waveform = tone(30, rate=44100)
    for format, worst in (("WAV", 2), ("FLAC", 2), ("MP3", 2), ("OGG", 2)):  # noqa: A001
        file = io.BytesIO(sound_file(waveform, rate=44100, format=format))
        assert 30 / worst < estimate(file, 1200) < 30 * worst, format
        assert file.tell() == 0
    assert estimate(io.BytesIO(bytes(10**8)), 1200) == 1200
    assert estimate(io.BytesIO(), 1200) == 0
