"""Ray Data hands out parts to a pool of actors. It is given names alone; each actor reads and writes by itself."""

import argparse
import math
import os
import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa

from batch.job import PartDone, work_on
from batch.sources import Part, SourceError, cut_part
from batch.worker import Counts, Worker, WorkerOptions
from genre_classifier.session import ModelError

CONNECT_SECONDS = 10.0
NAMES = pa.list_(pa.string())
BLOCK = pa.schema([("number", pa.int64()), ("digest", pa.string()), ("uris", NAMES), ("ids", NAMES)])


class RayError(Exception):
    """Ray cannot be used; the message is one sentence."""


class PartActor:
    """A loaded model in a process of Ray's."""

    def __init__(self, options: WorkerOptions) -> None:
        """An actor that fails here would be started again without end, so what is wrong is told with its first part."""
        self._worker: Worker | None = None
        self._unusable = ""
        try:
            self._worker = Worker(options)
        except (ModelError, SourceError, OSError, pa.ArrowException) as error:  # the model, or the output's storage
            self._unusable = str(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Do the one part of a batch; what goes back is a few numbers."""
        (number,), (digest,), (uris,), (ids,) = (batch[name] for name in ("number", "digest", "uris", "ids"))
        part = Part(int(number), str(digest), list(uris), list(ids))
        done = work_on(self._worker, part) if self._worker else PartDone(part.number, Counts())
        counts = done.counts
        return {
            "number": [done.number],
            "rows": [counts.rows],
            "chunks": [counts.chunks],
            "music_seconds": [counts.music_seconds],
            "errors": [list(counts.errors.elements())],
            "failure": [done.failure or ""],
            "unusable": [self._unusable],
        }


def work_on_ray(
    todo: list[int], files: pa.Table, options: WorkerOptions, args: argparse.Namespace
) -> Iterator[PartDone]:
    """Let a cluster do the parts, and yield what came of each as it is done.

    Raises:
        RayError: Ray is missing, there is no such cluster, it has too few processors, a node of it cannot
            load the model or open the output, or it gave up.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # noqa: PLC0415
        import ray.data  # noqa: PLC0415
    except ImportError as error:
        raise RayError('--ray needs Ray: pip install "genre-classifier[ray]".') from error
    if not todo:
        return
    _reach(args.ray)
    try:
        if not ray.is_initialized():
            ray.init(
                address=None if args.ray == "local" else args.ray,
                include_dashboard=False if args.ray == "local" else None,
                log_to_driver=False,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RayError(f"There is no Ray cluster at {args.ray}.") from error
    actors = min(args.actors or len(todo), len(todo), _places(ray.nodes(), args.cpus_per_actor, args.gpus_per_actor))
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # One at a time into Ray's memory: ten million names as Python strings would take gigabytes.
    parts: list[Any] = [ray.put(_block(cut_part(files, number, args.files_per_part))) for number in todo]
    results = ray.data.from_arrow_refs(parts).map_batches(
        PartActor,
        fn_constructor_args=(replace(options, cores=max(1, int(args.cpus_per_actor))),),
        batch_size=1,
        num_cpus=args.cpus_per_actor,
        num_gpus=args.gpus_per_actor,
        concurrency=actors,
    )
    try:
        for row in results.iter_rows():
            if row["unusable"]:
                raise RayError(f"A node of the Ray cluster cannot work: {row['unusable']}")
            counts = Counts(row["rows"], row["chunks"], row["music_seconds"], Counter(row["errors"]))
            yield PartDone(row["number"], counts, row["failure"] or None)
    except ray.exceptions.RayError as error:
        raise RayError(f"The Ray cluster gave up: {str(error).splitlines()[0]}") from error
    finally:
        if args.ray == "local":  # its processes would outlive one that is interrupted
            ray.shutdown()


def _block(part: Part) -> pa.Table:
    """A part as a table of one row."""
    return pa.Table.from_pylist([part._asdict()], BLOCK)


def _reach(address: str) -> None:
    """Make sure that something listens at an address with a port: Ray itself would try for a quarter of an hour.

    Raises:
        RayError: nothing does.
    """
    if not (match := re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)):
        return
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RayError(f"There is no Ray cluster at {address}.") from error


def _places(nodes: list[dict[str, Any]], cpus: float, gpus: float) -> int:
    """How many actors a cluster has room for, of what `ray.nodes` says: each lives on one node.

    Raises:
        RayError: for none. Ray would wait for a node that has room.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    fitting = sum(
        int(min(node.get("CPU", 0) / cpus, node.get("GPU", 0) / gpus if gpus else math.inf)) for node in alive
    )
    # One processor stays free: a pool that takes the last one leaves none for Ray Data's own tasks, and hangs.
    places = min(fitting, int((sum(node.get("CPU", 0) for node in alive) - 1) / cpus))
    if places < 1:
        raise RayError(
            "The Ray cluster needs one processor more than its actors take, and a node with room for an actor: "
            f"CPU {cpus:g}, GPU {gpus:g}."
        )
    return places
