"""Clients of a service: open and closed loops that send songs and compare the answers."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
import numpy as np

from tests.support.songs import Song

CLIENT_TIMEOUT_SECONDS = 120.0  # longer than the service takes at most
PAUSE_SECONDS = 0.2  # that a client waits after a failure


@dataclass
class Outcome:
    """What came of a request."""

    begin: float
    """On the monotonic clock; for an open loop, when the request was due."""
    seconds: float
    status: int
    """HTTP status; 0 for a broken connection."""
    difference: float = 0.0
    """Largest difference of a probability from the answer to the same song sent alone."""
    retry_after: bool = False
    """Whether the answer has a Retry-After header."""

    @property
    def end(self) -> float:
        """On the monotonic clock."""
        return self.begin + self.seconds


class Client:
    """Sends songs to a service, and compares the answers with those to the same songs sent alone."""

    def __init__(self, session: aiohttp.ClientSession, url: str, alone: dict[str, dict[str, float]]) -> None:
        """`alone` holds the probabilities of each song by its name; `connect` makes it."""
        self._session = session
        self._url = url
        self._alone = alone

    async def send(self, song: Song, due: float | None = None) -> Outcome:
        """Classify a song."""
        begin = time.monotonic() if due is None else due
        try:
            async with self._session.post(f"{self._url}/classify", data=_form(song)) as response:
                body = await response.read()
                outcome = Outcome(begin, 0, response.status, retry_after="Retry-After" in response.headers)
        except (aiohttp.ClientError, OSError):
            return Outcome(begin, time.monotonic() - begin, 0)
        outcome.seconds = time.monotonic() - begin
        if outcome.status == HTTPStatus.OK and song.name in self._alone:
            given, alone = json.loads(body)["probabilities"], self._alone[song.name]
            outcome.difference = max(abs(given[genre] - alone[genre]) for genre in alone)
        return outcome

    async def open_loop(self, songs: Sequence[Song], count: int, rate: float, seed: int = 0) -> list[Outcome]:
        """Send at random times, `rate` a second on average, without waiting for answers."""
        rng = random.Random(seed)
        due = time.monotonic()
        tasks = []
        for _ in range(count):
            due += rng.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            tasks.append(asyncio.create_task(self.send(rng.choice(songs), due)))
        return list(await asyncio.gather(*tasks))

    async def closed_loop(self, songs: Sequence[Song], clients: int, seconds: float) -> list[Outcome]:
        """Let each of so many clients send its next request as soon as the last is answered, and at least one."""
        end = time.monotonic() + seconds
        outcomes = []

        async def send_repeatedly(turn: int) -> None:
            while True:
                outcome = await self.send(songs[turn % len(songs)])
                outcomes.append(outcome)
                turn += 1
                if outcome.status != HTTPStatus.OK:
                    await asyncio.sleep(PAUSE_SECONDS)
                if time.monotonic() >= end:
                    break

        await asyncio.gather(*(send_repeatedly(number) for number in range(clients)))
        return outcomes


@asynccontextmanager
async def connect(url: str, songs: Sequence[Song], connections: int) -> AsyncIterator[Client]:
    """A client that has asked for each song alone."""
    timeout = aiohttp.ClientTimeout(total=CLIENT_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections), timeout=timeout) as session:
        alone = {}
        for song in songs:
            async with session.post(f"{url}/classify", data=_form(song)) as response:
                response.raise_for_status()
                alone[song.name] = (await response.json())["probabilities"]
        yield Client(session, url, alone)


def _form(song: Song) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("audio", song.content, filename=song.name)
    return form


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Requests by status, and the latency of those that were answered with 200."""
    answered = [outcome for outcome in outcomes if outcome.status == HTTPStatus.OK]
    seconds = np.array([outcome.seconds for outcome in answered] or [np.nan])
    return {
        "requests": len(outcomes),
        "statuses": {str(status): count for status, count in sorted(Counter(each.status for each in outcomes).items())},
        "p50_ms": round(float(np.quantile(seconds, 0.5)) * 1000, 1),
        "p95_ms": round(float(np.quantile(seconds, 0.95)) * 1000, 1),
        "p99_ms": round(float(np.quantile(seconds, 0.99)) * 1000, 1),
        "slowest_ms": round(float(seconds.max()) * 1000, 1),
        "largest_difference": max((outcome.difference for outcome in answered), default=0.0),
    }
