"""The front's way to the model service: places of chunks out over a local socket, outputs back."""

import math
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from time import monotonic
from typing import Any, NamedTuple, Protocol

import aiohttp
import anyio.to_thread
import bentoml
import numpy as np
from bentoml.exceptions import BentoMLException

from genre_classifier.audio.chunk_memory import SharedChunk
from genre_classifier.outputs import FloatArray, Outputs
from genre_classifier.session import ModelInfo
from serving.chunk_exchange import Places, Sender
from serving.errors import ServiceError
from serving.run_folder import run_folder

REPLACED = "The model was replaced meanwhile: send the file again."
RESTARTING = "The model is being restarted: try again in a moment."
NOT_THERE = -1  # in the place of the model's stamp: the chunk was not where it was said to be
READY_SECONDS = 4  # less than probes wait; aiohttp rounds 5 and more up to the next whole second
LOST_SECONDS = 10  # how long the model's process may be gone before the service counts as dead
# How BentoML says that a call waited or ran too long.
BUSY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}


class Answer(NamedTuple):
    """What came of some chunks."""

    outputs: Outputs
    seconds: float
    """In the session."""
    info: ModelInfo
    """Of the graph that ran: another than before, where the model's file was replaced and its process started anew."""


class ModelClient(Protocol):
    """The model service as the front sees it."""

    async def info(self, *, max_age: float = math.inf) -> ModelInfo:
        """What the graph says about itself, or said at most so many seconds ago."""

    async def is_ready(self) -> bool:
        """Whether it can be asked."""

    async def is_alive(self) -> bool:
        """Whether it is ready, or has not been for a short time only."""

    async def run(self, chunks: Sequence[SharedChunk]) -> Answer:
        """Run the graph on chunks, which stay as they are until this returns.

        Raises:
            ServiceError: busy or restarting.
        """


def stamp(info: ModelInfo) -> int:
    """Tell models apart by a number that a float32 holds exactly."""
    return int.from_bytes(sha256(info.model_dump_json().encode()).digest()[:3], "big")


def pack_result(outputs: Outputs, seconds: float, model: int) -> FloatArray:
    """Put a run's outputs, its seconds and the model's stamp side by side: a batchable API returns one array.

    Returns:
        float32 (batch, columns).
    """
    packed = outputs.pack()
    return np.concatenate([packed, np.tile(np.array([seconds, model], np.float32), (len(packed), 1))], axis=1)


def stamp_of(packed: FloatArray) -> int:
    """Read the stamp of the model that gave a packed result."""
    return int(packed[0, -1])


def is_refused(packed: FloatArray) -> bool:
    """Whether a chunk was not where it was said to be."""
    return bool((packed[:, -1] == NOT_THERE).any())


def unpack_result(packed: FloatArray, info: ModelInfo) -> Answer:
    """Undo `pack_result`, also for rows that came from several runs."""
    outputs = Outputs.unpack(
        packed[:, :-2], labels=len(info.labels), tags=len(info.tags), familiarity=info.recognised_above is not None
    )
    return Answer(outputs, float(np.unique(packed[:, -2]).sum()), info)


class RemoteModel:
    """The model service as BentoML reaches it."""

    def __init__(self) -> None:
        """Know nothing about the model until it is asked."""
        self._info: ModelInfo | None = None
        self._stamp = 0
        self._sender: Sender | None = None
        self._asked = 0.0
        self._lost_since: float | None = None

    async def info(self, *, max_age: float = math.inf) -> ModelInfo:
        """What the graph says about itself, or said at most so many seconds ago."""
        if self._info is None or monotonic() - self._asked > max_age:
            self._info = ModelInfo.model_validate(await self._call("info"))
            self._stamp = stamp(self._info)
            self._asked = monotonic()
        return self._info

    async def run(self, chunks: Sequence[SharedChunk]) -> Answer:
        """Run the graph on chunks, all in one call; raises as ModelClient.run does."""
        packed = await self._run(chunks)
        if is_refused(packed):  # by a process that has begun since the memory was handed over
            packed = await self._run(chunks, again=True)
            if is_refused(packed):
                raise ServiceError(RESTARTING, "restarting")
        if not np.isfinite(packed).all():
            raise FloatingPointError("The graph gave a value that is not finite.")
        info = await self.info()
        if stamp_of(packed) != self._stamp:
            info = await self.info(max_age=0)
            if stamp_of(packed) != self._stamp:  # replaced once more
                raise ServiceError(REPLACED, "restarting")
        return unpack_result(packed, info)

    async def _run(self, chunks: Sequence[SharedChunk], *, again: bool = False) -> FloatArray:
        if self._sender is None:
            self._sender = Sender(run_folder())
        for memory in {chunk.memory for chunk in chunks}:
            if again or not self._sender.has_handed(memory):
                # Where the model's process is just being replaced, the call waits for the next one, which refuses.
                with suppress(OSError):
                    await anyio.to_thread.run_sync(partial(self._sender.hand_over, memory, again=again))
        places: Places = np.array([chunk.place for chunk in chunks], np.int64)
        packed: FloatArray = await self._call("run", places)
        return packed

    async def is_ready(self) -> bool:
        """Whether it can be asked; no, if it does not say within some seconds."""
        try:
            ready = bool(await bentoml.get_current_service().model.is_ready(READY_SECONDS))
        except (BentoMLException, aiohttp.ClientError, TimeoutError):
            ready = False
        if ready:
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = monotonic()
        return ready

    async def is_alive(self) -> bool:
        """Whether it is ready, or became unready at most ten seconds ago."""
        return await self.is_ready() or self._lost_since is None or monotonic() - self._lost_since <= LOST_SECONDS

    async def _call(self, name: str, *args: Any) -> Any:
        try:
            try:
                return await self._try(name, *args)
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
                # The model's process died, or closed a connection just as it was reused. Retrying is safe. Retry once
                # only: the clip itself may crash the worker.
                return await self._try(name, *args)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ServiceError(RESTARTING, "restarting") from error

    async def _try(self, name: str, *args: Any) -> Any:
        try:
            return await getattr(bentoml.get_current_service().model.to_async, name)(*args)
        except BentoMLException as error:
            if error.error_code not in BUSY:
                raise
            raise ServiceError("The service is busy: try again later.", "busy") from error
