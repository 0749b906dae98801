"""A whole run: which parts are wanted, which are there, and who works on the rest."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
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
        # Of a cluster, this process asks the model for its version alone, and may be where no GPU is.
        here = settings.model_copy(update={"provider": "cpu"}) if args.ray else settings
        worker = Worker(replace(options, settings=here))
        todo = plan(files, worker, args)
        if todo:
            worker.output.check()
    except (ModelError, SourceError, SystemExit, OSError) as error:
        raise JobError(str(error)) from error
    total = sum(min(args.files_per_part, len(files) - number * args.files_per_part) for number in todo)
    with Progress(total) as progress:
        if not args.ray:
            return _report(_work_here(todo, files, worker, args, progress), progress)
        worker.classifier.close()
        from batch.ray_pool import RayError, work_on_ray  # noqa: PLC0415 (Ray is an extra)

        try:
            return _report(_counted(work_on_ray(todo, files, options, args), progress), progress)
        except RayError as error:
            raise JobError(str(error)) from error


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


def work_on(worker: Worker, part: Part, each: Callable[[], object] = lambda: None) -> PartDone:
    """Do one part, and say what came of it; `each` is called when a file of it is done."""
    try:
        return PartDone(part.number, worker.work(part, each))
    except (OSError, RuntimeError, pa.ArrowException) as error:  # the disk, the decoders, the storage
        return PartDone(part.number, Counts(), f"part {part.number} could not be written: {error}")


def _work_here(
    todo: list[int], files: pa.Table, worker: Worker, args: argparse.Namespace, progress: Progress
) -> Iterator[PartDone]:
    for number in todo:
        yield work_on(worker, cut_part(files, number, args.files_per_part), progress.add)
    worker.classifier.close()


def _counted(done: Iterable[PartDone], progress: Progress) -> Iterator[PartDone]:
    """What others have done comes a part at a time."""
    for part in done:
        progress.add(part.counts.rows)
        yield part


def _report(done: Iterable[PartDone], progress: Progress) -> int:
    counts, failures = Counts(), 0
    for part in done:
        counts.add(part.counts)
        if part.failure:
            failures += 1
            progress.say(part.failure)
    progress.close()
    say_summary(counts, failures, progress.seconds)
    return failures
