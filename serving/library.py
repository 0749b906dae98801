"""A library of music is judged, file by file, and what is wanted of it written: a report, embeddings, tags."""

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from audio import AudioError
from serving.clip import SilentClipError
from serving.embeddings import Embeddings
from serving.errors import TagError
from serving.files import find_files, is_music
from serving.judge import Judge, Judgement
from serving.report import ReportError, open_report, shown
from serving.session import ModelError, ModelInfo
from serving.settings import read_settings
from serving.verdict import Wish

FAILED = 1


@dataclass(frozen=True)
class Order:
    """What is wanted of which files."""

    paths: Sequence[str]
    """Files, folders and patterns."""
    form: str
    """Of the report: table, json or csv."""
    top_k: int | None
    segments: bool
    """List a clip's segments too."""
    output: Path | None
    """The report's file; the screen if None."""
    embeddings: Path | None
    """An .npz file."""
    write_tags: bool
    skip_existing: bool
    """Go on with an earlier run's files."""


class OrderError(Exception):
    """What is wanted cannot be begun; the message is one sentence."""


class Output(Protocol):
    """Something that keeps what is said of files."""

    done: frozenset[str]
    """The files that it holds from an earlier run."""

    def write(self, file: str, judgement: Judgement) -> None:
        """Keep what is said of one more."""


def judge_library(order: Order) -> int:
    """Judge all files; exit code 1 if anything failed with any of them.

    Raises:
        OrderError: nothing was begun.
    """
    logging.getLogger("bentoml.genre").setLevel(logging.ERROR)  # a run on the CPU is nothing to warn a person of
    files = _find(order)
    failed = {"judged": 0, "tagged": 0}

    def fail(what: str, file: Path, error: Exception) -> None:
        failed[what] += 1
        tqdm.write(f"{shown(str(file))}: {error}", file=sys.stderr)

    with ExitStack() as stack:
        try:
            judge = Judge(read_settings())
            outputs = _open(order, judge.info, stack)
        except (ModelError, ReportError, SystemExit) as error:
            raise OrderError(str(error)) from error
        files = [file for file in files if any(str(file) not in output.done for output in outputs)]
        judgements = judge.judge_all(files, Wish(top_k=order.top_k))
        for file in tqdm(files, unit="file", disable=None, leave=False):  # silent where there is no terminal
            try:
                judgement = next(judgements).result()
            except (AudioError, SilentClipError) as error:
                fail("judged", file, error)
                continue
            for output in outputs:
                try:
                    if str(file) not in output.done:
                        output.write(str(file), judgement)
                except TagError as error:
                    fail("tagged", file, error)
    for what, count in failed.items():
        if count:
            print(f"{count} of {len(files)} files could not be {what}.", file=sys.stderr)
    return FAILED if any(failed.values()) else 0


def _find(order: Order) -> list[Path]:
    """The files to judge, none of which an output would write over."""
    files = find_files(order.paths)
    if not files:
        raise OrderError("There are no audio files in what was named.")
    for option, output in (("--output", order.output), ("--embeddings", order.embeddings)):
        if output and output.exists() and is_music(output, files):
            raise OrderError(f"{option} {output} would write over a piece of music.")
    return files


def _open(order: Order, info: ModelInfo, stack: ExitStack) -> list[Output]:
    """All that is written to; the report last, so that what it lists has been done with."""
    if order.top_k is not None and order.top_k > len(info.labels):
        raise OrderError(f"--top-k must be from 1 to {len(info.labels)}.")
    # Before the report, which begins by writing over the file of an earlier run.
    write_tags = _tags() if order.write_tags else None
    outputs: list[Output] = []
    if order.embeddings:
        embeddings = Embeddings(order.embeddings, info.version, resume=order.skip_existing)
        outputs.append(stack.enter_context(embeddings))
    report = open_report(
        order.output,
        order.form,
        info.labels,
        resume=order.skip_existing,
        ranking=order.top_k is not None and order.top_k > 1,
        segments=order.segments,
    )
    outputs.append(stack.enter_context(report))
    if write_tags:
        outputs.insert(0, write_tags(report.done))
    return outputs


def _tags() -> Callable[[frozenset[str]], Output]:
    """What writes tags, and needs what is not installed with the rest."""
    try:
        from serving.tags import Tags  # noqa: PLC0415
    except ImportError as error:
        raise OrderError("--write-tags needs mutagen: pip install mutagen.") from error
    return Tags
