"""Classify a library of music file by file, and write the results: a report, embeddings, tags."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from genre_classifier.audio import AudioError
from genre_classifier.classifier import Analysis, Classifier
from genre_classifier.cli.embeddings import Embeddings, is_embeddings
from genre_classifier.cli.files import find_files, inode, is_music, is_same
from genre_classifier.cli.forms import is_report
from genre_classifier.cli.report import open_report, printable
from genre_classifier.cli.results import ResultsError, TagError
from genre_classifier.session import ModelError, ModelInfo
from genre_classifier.settings import Settings, read_settings
from genre_classifier.verdict import ClassifyOptions

FAILED = 1


@dataclass(frozen=True)
class LibraryJob:
    """What to classify and what to write."""

    paths: Sequence[str]
    """Files, folders and patterns."""
    form: str
    """Of the report: table, json or csv."""
    top_k: int | None
    segments: bool
    """Also list a clip's segments."""
    output: Path | None
    """The report's file; the screen if None."""
    embeddings: Path | None
    """An .npz file."""
    write_tags: bool
    skip_existing: bool
    """Continue with an earlier run's files."""
    overwrite: bool
    """Replace outputs that this program did not write; never music."""
    model: str | None
    """A name or a path; what the settings say if None."""


class JobError(Exception):
    """The job cannot begin; the message is one sentence."""


class Results(Protocol):
    """Something that keeps results."""

    done: frozenset[str]
    """The files that it holds from an earlier run."""

    def write(self, file: str, analysis: Analysis) -> None:
        """Keep one file's results."""


def classify_library(job: LibraryJob) -> int:
    """Classify all files; exit code 1 if anything failed with any of them.

    Raises:
        JobError: nothing was begun.
    """
    files = _find(job)
    _check_outputs(job, files)
    failures = {"classified": 0, "tagged": 0}

    def fail(what: str, file: Path, error: Exception) -> None:
        failures[what] += 1
        tqdm.write(f"{printable(str(file))}: {error}", file=sys.stderr)

    with ExitStack() as stack:
        try:
            classifier = _open_classifier(job)
            options = ClassifyOptions(top_k=job.top_k)
            options.check(len(classifier.info.labels))
            results = _open_results(job, classifier.info, stack)
        except (ModelError, ResultsError, SystemExit, ValueError) as error:
            raise JobError(str(error)) from error
        files = [file for file in files if any(str(file) not in each.done for each in results)]
        analyses = classifier.analyse_files(files, options)
        for file, analysis in tqdm(analyses, total=len(files), unit="file", disable=None, leave=False):
            if isinstance(analysis, AudioError):
                fail("classified", file, analysis)
                continue
            for each in results:
                try:
                    if str(file) not in each.done:
                        each.write(str(file), analysis)
                except TagError as error:
                    fail("tagged", file, error)
    for what, count in failures.items():
        if count:
            print(f"{count} of {len(files)} files could not be {what}.", file=sys.stderr)
    return FAILED if any(failures.values()) else 0


def _find(job: LibraryJob) -> list[Path]:
    files = find_files(job.paths)
    if not files:
        raise JobError("There are no audio files in what was named.")
    return files


def _check_outputs(job: LibraryJob, files: Sequence[Path]) -> None:
    """Check, before anything is opened, that no output replaces music, the other output, or what others wrote.

    Raises:
        JobError: it would.
    """
    outputs = (("--output", job.output, is_report), ("--embeddings", job.embeddings, is_embeddings))
    if job.output and job.embeddings and is_same(job.output, job.embeddings):
        raise JobError("--embeddings and --output must be two files.")
    for option, path, is_ours in outputs:
        if path is None or inode(path) is None:
            continue
        if is_music(path, files):
            raise JobError(f"{option} {path} would overwrite a piece of music.")
        if job.overwrite or job.skip_existing or not path.is_file():  # what is continued is checked when it is opened
            continue
        try:
            ours = is_ours(path)
        except OSError as error:
            raise JobError(f"{option} {path} cannot be read: {error.strerror}.") from error
        if not ours:
            raise JobError(
                f"{option} {path} is a file that this program did not write: name another, or add --overwrite."
            )


def _open_classifier(job: LibraryJob) -> Classifier:
    settings = read_settings(Settings)
    return Classifier(
        job.model or settings.model,
        provider=settings.provider,
        threads=settings.threads,
        batch_size=settings.max_batch_size,
        gpu_memory_mb=settings.gpu_memory_mb,
        max_seconds=settings.max_seconds,
        isolate=True,
    )


def _open_results(job: LibraryJob, info: ModelInfo, stack: ExitStack) -> list[Results]:
    """All that is written to; the report last, so that everything else is done with the files that it lists."""
    # Before the report, which begins by overwriting the file of an earlier run.
    write_tags = _tags() if job.write_tags else None
    results: list[Results] = []
    if job.embeddings:
        embeddings = Embeddings(job.embeddings, info.version, resume=job.skip_existing)
        results.append(stack.enter_context(embeddings))
    report = open_report(
        job.output,
        job.form,
        info.labels,
        resume=job.skip_existing,
        ranking=job.top_k is not None and job.top_k > 1,
        segments=job.segments,
    )
    results.append(stack.enter_context(report))
    if write_tags:
        results.insert(0, write_tags(report.done))
    return results


def _tags() -> Callable[[frozenset[str]], Results]:
    """What writes tags; its library is an extra."""
    try:
        from genre_classifier.cli.tags import Tags  # noqa: PLC0415
    except ImportError as error:
        raise JobError('--write-tags needs mutagen: pip install "genre-classifier[tags]".') from error
    return Tags
