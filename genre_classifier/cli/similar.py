"""`genre-classifier --similar-to FILE --in FILE.npz`: the music that sounds most alike."""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genre_classifier.audio import AudioError
from genre_classifier.classifier import Classifier
from genre_classifier.cli.embeddings import Content, read_embeddings
from genre_classifier.cli.files import STDIN, place
from genre_classifier.cli.results import JobError
from genre_classifier.cli.text import printable
from genre_classifier.session import ModelError
from genre_classifier.settings import Settings, read_settings

FAILED = 1
DEFAULT_COUNT = 10


@dataclass(frozen=True)
class SimilarJob:
    """What to look for and where."""

    song: str
    """A file, or - for standard input."""
    inside: Path
    """The .npz file of --embeddings."""
    form: str
    top_k: int | None
    """Files to list."""
    model: str | None


def print_similar(job: SimilarJob) -> int:
    """Print the files whose embeddings have the least angle to the song's; exit code 1 if it cannot be classified.

    Raises:
        JobError: nothing was begun.
    """
    if job.top_k is not None and job.top_k < 1:
        raise JobError("--top-k must be 1 or more.")
    content = _read(job.inside)
    settings = read_settings(Settings)
    try:
        classifier = Classifier(job.model or settings.model, **settings.classifier_options, isolate=True)
    except (ModelError, SystemExit) as error:
        raise JobError(str(error)) from error
    if str(content.model) != classifier.info.version:
        raise JobError(f"{job.inside} holds the embeddings of another model: make them anew, or name it by --model.")
    try:
        embedding = classifier.embed(sys.stdin.buffer.read() if job.song == STDIN else job.song)
    except AudioError as error:
        print(f"{printable(job.song)}: {error}", file=sys.stderr)
        return FAILED
    _print(job.form, _nearest(content, embedding, job.song, job.top_k or DEFAULT_COUNT))
    return 0


def _read(path: Path) -> Content:
    try:
        content = read_embeddings(path)
    except OSError as error:
        raise JobError(f"{path} cannot be read: {error.strerror}.") from error
    if content is None:
        raise JobError(f"{path} holds no embeddings: --embeddings writes them.")
    return content


def _nearest(content: Content, embedding: np.ndarray, song: str, count: int) -> Iterator[tuple[str, float]]:
    """Other files and the cosine of their angle to the song's embedding, the most similar first."""
    lengths = np.linalg.norm(content.embeddings, axis=1) * np.linalg.norm(embedding)
    cosines = content.embeddings @ embedding / np.maximum(lengths, np.finfo(np.float32).tiny)
    itself = None if song == STDIN else place(song)
    order = (int(i) for i in np.argsort(-cosines, kind="stable"))
    others = ((str(content.files[i]), float(cosines[i])) for i in order if place(str(content.files[i])) != itself)
    for _, each in zip(range(count), others, strict=False):
        yield each


def _print(form: str, similar: Iterator[tuple[str, float]]) -> None:
    if form == "json":
        for file, cosine in similar:
            print(json.dumps({"file": file, "similarity": round(cosine, 6)}))
    elif form == "csv":
        lines = csv.writer(sys.stdout, lineterminator="\n")
        lines.writerow(["file", "similarity"])
        lines.writerows([file, round(cosine, 6)] for file, cosine in similar)
    else:
        print("alike  file")
        for file, cosine in similar:
            print(f"{cosine:5.2f}  {printable(file)}")
