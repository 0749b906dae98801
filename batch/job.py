"""A whole run: which parts are wanted, which are there, and who works on the rest."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa

from batch.parts import part_name
from batch.progress import Progress, say_summary
from batch.sources import Part, SourceError, cut_part, list_files, part_count
from batch.worker import Counts, Worker, WorkerOptions
from genre_classifier.session import ModelError
from genre_classifier.settings import Settings, read_settings


class JobError(Exception):
    """The job cannot begin; the message is one sentence."""


class PartDone(NamedTuple):
    """What came of a part: its counts, or why it could not be written."""

    number: int
    counts: Counts
    failure: str | None = None


def run_job(args: argparse.Namespace) -> int:
    """Classify what the arguments ask for; the number of parts that could not be written.

    Raises:
        JobError: nothing was begun.
    """
    try:
        settings = read_settings(Settings)
        if args.model:
            settings = settings.model_copy(update={"model": args.model})
        options = WorkerOptions(args.output, settings, args.file_seconds, args.file_megabytes)
        files = list_files(args.source)
        worker = Worker(options)
        todo = plan(files, worker, args)
    except (ModelError, SourceError, SystemExit, OSError) as error:
        raise JobError(str(error)) from error
    if args.ray:
        worker.classifier.close()
        from batch.ray_pool import RayError, work_on_ray  # noqa: PLC0415 (Ray is an extra)

        try:
            done: Iterable[PartDone] = work_on_ray(todo, files, options, args)
            return _report(done, todo, files, args)
        except RayError as error:
            raise JobError(str(error)) from error
    return _report(_work_here(todo, files, worker, args), todo, files, args)


def plan(files: pa.Table, worker: Worker, args: argparse.Namespace) -> list[int]:
    """The numbers of the parts of this shard that are not there yet.

    Raises:
        JobError: the output holds parts of another list by the same model.
    """
    output, version = worker.output, worker.classifier.info.version
    output.tidy()
    there = {part.name for part in output.parts() if part.version == version}
    numbers = range(part_count(len(files), args.files_per_part))
    names = [part_name(cut_part(files, number, args.files_per_part), version) for number in numbers]
    if stale := there.difference(names):
        if not args.prune:
            raise JobError(
                f"{args.output} holds {len(stale)} parts by this model of another list or another --files-per-part: "
                "name another OUTPUT, or add --prune to remove them."
            )
        for name in sorted(stale):
            output.remove(name)
    index, shards = args.shard
    return [number for number in numbers if number % shards == index and names[number] not in there]


def work_on(worker: Worker, part: Part) -> PartDone:
    """Do one part, and say what came of it."""
    try:
        return PartDone(part.number, worker.work(part))
    except (OSError, RuntimeError, pa.ArrowException) as error:  # the disk, the decoders, the storage
        return PartDone(part.number, Counts(), f"part {part.number} could not be written: {error}")


def _work_here(todo: list[int], files: pa.Table, worker: Worker, args: argparse.Namespace) -> Iterator[PartDone]:
    for number in todo:
        yield work_on(worker, cut_part(files, number, args.files_per_part))
    worker.classifier.close()


def _report(done: Iterable[PartDone], todo: list[int], files: pa.Table, args: argparse.Namespace) -> int:
    total = sum(min(args.files_per_part, len(files) - number * args.files_per_part) for number in todo)
    counts, failures = Counts(), 0
    with Progress(total) as progress:
        for part in done:
            counts.add(part.counts)
            progress.add(part.counts.rows)
            if part.failure:
                failures += 1
                print(part.failure, file=sys.stderr)
    say_summary(counts, failures, progress.seconds)
    return failures
