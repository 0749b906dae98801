"""The time that a connection may take, by a clock that the tests move."""

import asyncio
import json
from collections import deque
from types import SimpleNamespace

import pytest

from serving.http.connections import (
    HEAD_SECONDS,
    MAX_HEAD_BYTES,
    MAX_PIPELINED,
    STALLED_SECONDS,
    Connections,
    PipelineError,
    limited,
)

HEAD = b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"


class Clock:
    """An event loop's timers."""

    def __init__(self):
        self.now, self.timers = 0.0, []

    def call_later(self, seconds, act):
        timer = asyncio.TimerHandle(self.now + seconds, act, (), asyncio.new_event_loop())
        self.timers.append(timer)
        return timer

    def move(self, seconds):
        self.now += seconds
        for timer in [each for each in self.timers if each.when() <= self.now]:
            self.timers.remove(timer)
            if not timer.cancelled():
                timer._run()  # noqa: SLF001


class Transport:
    closed = ""
    written = b""

    def write(self, data):
        self.written += data

    def is_closing(self):
        return bool(self.closed)

    def close(self):
        self.closed = self.closed or "closed"

    def abort(self):
        self.closed = "aborted"


class Protocol:
    """As much of uvicorn's protocol as is built upon."""

    clock = Clock()

    def __init__(self):
        self.loop, self.connections, self.pipeline, self.headers = self.clock, set(), deque(), []

    def connection_made(self, transport):
        self.transport = transport
        self.connections.add(self)

    def data_received(self, data):
        """Of real bytes, what the parser would make of them is what each test calls."""

    def on_body(self, body):
        pass

    def on_header(self, name, value):
        self.headers.append((name, value))

    def on_headers_complete(self):
        self.cycle = SimpleNamespace(disconnected=False, message_event=asyncio.Event())

    on_message_begin = on_message_complete = on_response_complete = lambda _: None
    pause_writing = resume_writing = lambda _: None

    def connection_lost(self, _):
        self.connections.discard(self)


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(Protocol, "clock", Clock())
    return Protocol.clock


@pytest.fixture
def connection(clock):
    connection = limited(Protocol, Connections(10))()
    connection.connection_made(Transport())
    return connection


def state(connection):
    return connection.transport.closed


def ask(connection, *, whole=True):
    connection.on_message_begin()
    connection.on_headers_complete()
    if whole:
        connection.on_message_complete()


def test_one_that_sends_nothing_or_half_a_head_is_closed(connection, clock):
    clock.move(HEAD_SECONDS - 1)
    connection.on_message_begin()  # a byte now and then does not help
    connection.data_received(HEAD[:20])
    assert state(connection) == ""
    clock.move(1)
    assert state(connection) == "closed"


def test_one_that_is_answered_may_take_its_time(connection, clock):
    ask(connection)
    clock.move(1000)
    connection.on_response_complete()
    clock.move(1000)  # the server has its own limit between two requests
    assert state(connection) == ""


def test_the_next_head_is_limited_too(connection, clock):
    ask(connection)
    connection.on_response_complete()
    clock.move(1000)
    connection.data_received(b"\r\n")  # no request yet, but the server's own limit is off
    clock.move(HEAD_SECONDS)
    assert state(connection) == "closed"


def test_the_rest_of_a_refused_body_is_limited(connection, clock):
    ask(connection, whole=False)
    connection.on_response_complete()
    clock.move(STALLED_SECONDS - 1)
    connection.data_received(b"rest")
    assert state(connection) == ""
    clock.move(1)
    assert state(connection) == "closed"


def test_a_refused_body_that_came_whole_leaves_the_connection_open(connection, clock):
    ask(connection, whole=False)
    connection.on_response_complete()
    connection.on_message_complete()
    clock.move(1000)
    assert state(connection) == ""


def test_one_that_does_not_read_its_answer_is_cut(connection, clock):
    ask(connection)
    connection.pause_writing()
    clock.move(STALLED_SECONDS)
    assert state(connection) == "aborted"


def test_one_that_reads_slowly_is_not(connection, clock):
    ask(connection)
    for _ in range(10):
        connection.pause_writing()
        clock.move(STALLED_SECONDS - 1)
        connection.resume_writing()
    assert state(connection) == ""


def test_one_under_way_does_not_go_for_those_that_come(clock):
    kind = limited(Protocol, Connections(2))
    first, second, third, fourth = (kind() for _ in range(4))
    shared = set()
    for each in (first, second, third, fourth):
        each.connections = shared
    first.connection_made(Transport())
    ask(first)
    second.connection_made(Transport())
    third.connection_made(Transport())
    assert (state(first), state(second), state(third)) == ("", "closed", "")
    second.connection_lost(None)
    ask(third)
    fourth.connection_made(Transport())
    assert state(fourth) == "aborted"  # all others are under way
    assert (state(first), state(third)) == ("", "")


def test_a_head_is_limited_in_size(connection):
    connection.on_message_begin()
    connection.data_received(bytes(MAX_HEAD_BYTES))
    assert state(connection) == ""
    connection.data_received(b"x")
    assert state(connection) == "closed"
    assert connection.transport.written.startswith(b"HTTP/1.1 431 ")
    assert json.loads(connection.transport.written.partition(b"\r\n\r\n")[2]).keys() == {"error"}


def test_a_body_is_not(connection):
    ask(connection, whole=False)
    for _ in range(100):
        connection.data_received(bytes(MAX_HEAD_BYTES))
        connection.on_body(bytes(MAX_HEAD_BYTES))
    assert state(connection) == ""


def test_what_stands_between_and_after_chunks_is(connection):
    ask(connection, whole=False)
    connection.on_header(b"trailer", b"x")
    assert not connection.headers
    connection.data_received(bytes(MAX_HEAD_BYTES + 1))
    assert state(connection) == "aborted"


def test_few_requests_wait_behind_one(connection):
    ask(connection)
    connection.pipeline.extend(range(MAX_PIPELINED - 1))
    connection.on_message_begin()
    connection.pipeline.append(MAX_PIPELINED)
    with pytest.raises(PipelineError):
        connection.on_message_begin()
    connection.send_400_response("")  # what the server makes of it
    assert state(connection) == "aborted"


@pytest.mark.parametrize("end", ["send_400_response", "connection_lost"])
def test_all_that_wait_for_an_answer_are_told_when_nobody_listens(connection, end):
    cycles = []
    for _ in range(3):
        ask(connection)
        cycles.append(connection.cycle)
    connection.on_response_complete()
    getattr(connection, end)(None)
    assert [cycle.disconnected for cycle in cycles] == [False, True, True]
    assert cycles[1].message_event.is_set()
