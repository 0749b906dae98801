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

from benchmarks.songs import Song

CLIENT_SECONDS = 120.0  # after which a client gives up: longer than the service takes at most
PAUSE = 0.2  # seconds that a client waits after a failure


@dataclass
class Outcome:
    """What came of a request."""

    begin: float
    """On the monotonic clock; of an open loop, when it was due."""
    seconds: float
    status: int
    """Of HTTP; 0 of a broken connection."""
    difference: float = 0.0
    """The largest of a probability from what the song was given alone."""
    retry_after: bool = False

    @property
    def end(self) -> float:
        """On the monotonic clock."""
        return self.begin + self.seconds


class Client:
    """Sends songs to a service, and compares the answers with those given to each alone."""

    def __init__(self, session: aiohttp.ClientSession, url: str, alone: dict[str, dict[str, float]]) -> None:
        """`alone` has the probabilities of each song by its name; use `connect`."""
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
            told, alone = json.loads(body)["probabilities"], self._alone[song.name]
            outcome.difference = max(abs(told[genre] - alone[genre]) for genre in alone)
        return outcome

    async def open_loop(self, songs: Sequence[Song], count: int, rate: float, seed: int = 0) -> list[Outcome]:
        """Send at random times, `rate` a second on average, whether or not others are answered."""
        chance = random.Random(seed)  # noqa: S311 (no secret)
        due = time.monotonic()
        tasks = []
        for _ in range(count):
            due += chance.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            tasks.append(asyncio.create_task(self.send(chance.choice(songs), due)))
        return list(await asyncio.gather(*tasks))

    async def closed_loop(self, songs: Sequence[Song], clients: int, seconds: float) -> list[Outcome]:
        """Let each of so many clients send one after another."""
        end = time.monotonic() + seconds
        outcomes = []

        async def one(number: int) -> None:
            turn = number
            while time.monotonic() < end:
                outcome = await self.send(songs[turn % len(songs)])
                outcomes.append(outcome)
                turn += 1
                if outcome.status != HTTPStatus.OK:
                    await asyncio.sleep(PAUSE)

        await asyncio.gather(*(one(number) for number in range(clients)))
        return outcomes


@asynccontextmanager
async def connect(url: str, songs: Sequence[Song], connections: int) -> AsyncIterator[Client]:
    """A client that has asked for each song alone."""
    timeout = aiohttp.ClientTimeout(total=CLIENT_SECONDS)
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
    """What came of requests, in numbers: how many by status, how long those took that were answered."""
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
