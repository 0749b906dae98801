"""Classify a library of music file by file, and write the results: a report, embeddings, tags."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tqdm import tqdm

from genre_classifier.audio import AudioError
from genre_classifier.classifier import Classifier
from genre_classifier.cli.embeddings import Embeddings, is_embeddings
from genre_classifier.cli.extras import need_mutagen
from genre_classifier.cli.files import STDIN, find_files, inode, is_music, is_same, place, read_list
from genre_classifier.cli.forms import is_report
from genre_classifier.cli.report import Report, open_report
from genre_classifier.cli.results import JobError, Results, ResultsError, TagError
from genre_classifier.cli.summary import Tally
from genre_classifier.cli.tag_policy import TagPolicy, read_names
from genre_classifier.genre_names import display_name
from genre_classifier.session import ModelError
from genre_classifier.settings import Settings, read_settings
from genre_classifier.verdict import ClassifyOptions

if TYPE_CHECKING:  # its library is an extra
    from genre_classifier.cli.tags import Tags

FAILED = 1


@dataclass(frozen=True)
class LibraryJob:
    """What to classify and what to write."""

    paths: Sequence[str]
    """Files, folders and patterns; - for standard input."""
    files_from: str | None
    """A list of more of them."""
    form: str
    """Of the report: table, json or csv."""
    top_k: int | None
    segments: bool
    """Also list a clip's segments."""
    output: Path | None
    """The report's file; the screen if None."""
    embeddings: Path | None
    """An .npz file."""
    skip_existing: bool
    """Continue with an earlier run's files."""
    retry_failed: bool
    """Of these, try again those that failed."""
    overwrite: bool
    """Replace outputs that this program did not write; never music."""
    model: str | None
    """A name or a path; what the settings say if None."""
    jobs: int | None
    """Cores to use; all if None."""
    quiet: bool
    write_tags: bool
    overwrite_tags: bool
    tag_uncertain: bool
    min_confidence: float | None
    genre_names: Path | None
    dry_run: bool
    journal: Path | None
    """Of the genres that stood in tags; a new file if None."""

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> Self:
        """The job that the arguments ask for."""
        return cls(**{field.name: getattr(args, field.name) for field in fields(cls)})


def classify_library(job: LibraryJob) -> int:
    """Classify all files; exit code 1 if anything failed with any of them.

    Raises:
        JobError: nothing was begun.
    """
    files = _find(job)
    _check_outputs(job, files)
    if job.write_tags:
        need_mutagen("--write-tags")
    tally = Tally()
    with ExitStack() as stack:
        stack.callback(tally.say, job)  # when all else is closed, also where the run is interrupted
        try:
            classifier = _open_classifier(job)
            options = ClassifyOptions(top_k=job.top_k)
            options.check(len(classifier.info.labels))
            report, results = _open_results(job, classifier, tally, stack)
        except (ModelError, ResultsError, SystemExit, ValueError) as error:
            raise JobError(str(error)) from error
        tally.begin(len(files), sum(place(str(file)) in report.failed for file in files))
        files = [file for file in files if _is_wanted(place(str(file)), report, results)]
        bar = tqdm(files, unit="file", disable=True if job.quiet else None, leave=False)
        for file, (_, analysis, _) in zip(bar, classifier.analyse_files(_sources(files), options), strict=False):
            if isinstance(analysis, AudioError):
                tally.fail("classified", file, analysis)
                if place(str(file)) not in report.done:
                    report.write_error(str(file), analysis)
                continue
            for each in results:
                try:
                    if place(str(file)) not in each.done:
                        each.write(str(file), analysis)
                except TagError as error:
                    tally.fail("tagged", file, error)
            tally.add(analysis.verdict)
    return FAILED if tally.failures else 0


def _find(job: LibraryJob) -> list[Path]:
    try:
        listed = read_list(job.files_from) if job.files_from else []
    except OSError as error:
        raise JobError(f"--files-from {job.files_from} cannot be read: {error.strerror}.") from error
    files = find_files([*job.paths, *listed])
    if not files:
        raise JobError("There are no audio files in what was named.")
    return files


def _sources(files: Sequence[Path]) -> Iterator[Path | bytes]:
    return (sys.stdin.buffer.read() if str(file) == STDIN else file for file in files)


def _is_wanted(file: str, report: Report, results: Sequence[Results]) -> bool:
    return file not in report.failed and any(file not in each.done for each in results)


def _check_outputs(job: LibraryJob, files: Sequence[Path]) -> None:
    """Check, before anything is opened, that no output replaces music, another output, or what others wrote.

    Raises:
        JobError: it would.
    """
    named = (("--output", job.output), ("--embeddings", job.embeddings), ("--journal", job.journal))
    outputs = [(option, path) for option, path in named if path]
    for number, (option, path) in enumerate(outputs):
        for other, another in outputs[:number]:
            if is_same(path, another):
                raise JobError(f"{option} and {other} must be two files.")
        if inode(path) is not None and is_music(path, files):
            raise JobError(f"{option} {path} would overwrite a piece of music.")
    if job.overwrite or job.skip_existing:  # what is continued is checked when it is opened
        return
    tests = {"--output": is_report, "--embeddings": is_embeddings}
    for option, path in outputs:
        if option not in tests or not path.is_file():
            continue
        try:
            ours = tests[option](path)
        except OSError as error:
            raise JobError(f"{option} {path} cannot be read: {error.strerror}.") from error
        if not ours:
            raise JobError(
                f"{option} {path} is a file that this program did not write: name another, or add --overwrite."
            )


def _open_classifier(job: LibraryJob) -> Classifier:
    settings = read_settings(Settings)
    return Classifier(job.model or settings.model, **settings.classifier_options, jobs=job.jobs, isolate=True)


def _open_results(
    job: LibraryJob, classifier: Classifier, tally: Tally, stack: ExitStack
) -> tuple[Report, list[Results]]:
    """All that is written to; the report last, so that everything else is done with the files that it lists."""
    results: list[Results] = []
    if job.write_tags:
        tally.tags = _open_tags(job, classifier.info.labels, stack)
        results.append(tally.tags)
    if job.embeddings:
        embeddings = Embeddings(job.embeddings, classifier.info.version, resume=job.skip_existing)
        results.append(stack.enter_context(embeddings))
    # It begins by overwriting the file of an earlier run, so all else is known to work by now.
    report = open_report(
        job.output,
        job.form,
        classifier.info.labels,
        resume=job.skip_existing,
        retry_failed=job.retry_failed,
        ranking=job.top_k is not None and job.top_k > 1,
        segments=job.segments,
    )
    results.append(stack.enter_context(report))
    if tally.tags:
        tally.tags.done = report.done
    return report, results


def _open_tags(job: LibraryJob, labels: Sequence[str], stack: ExitStack) -> "Tags":
    from genre_classifier.cli.journal import Journal, default_journal  # noqa: PLC0415
    from genre_classifier.cli.tags import Tags  # noqa: PLC0415

    policy = TagPolicy(
        overwrite=job.overwrite_tags,
        uncertain=job.tag_uncertain,
        min_confidence=job.min_confidence or 0.0,
        name=read_names(job.genre_names, labels) if job.genre_names else display_name,
        dry_run=job.dry_run,
    )
    if policy.dry_run:
        return Tags(policy, None)
    return Tags(policy, stack.enter_context(Journal(job.journal or default_journal(job.output))))
