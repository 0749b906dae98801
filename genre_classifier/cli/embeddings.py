"""The embeddings of all classified files, in one .npz file."""

from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from genre_classifier.atomic import replacing
from genre_classifier.classifier import Analysis
from genre_classifier.cli.files import place
from genre_classifier.cli.results import ResultsError

SAVE_EVERY = 1000  # files, so that little is lost should the run be killed


class Content(NamedTuple):
    """What such a file holds, by the names of its arrays."""

    files: npt.NDArray[np.str_]
    embeddings: npt.NDArray[np.float32]
    model: npt.NDArray[np.str_]


class Embeddings:
    """Files and their embeddings, in memory (some 600 bytes a file), saved every 1000 files and at the end.

    The file holds `files` (names, n), `embeddings` (float32, n x width) and `model` (its version). numpy.load opens it.
    """

    def __init__(self, path: Path, version: str, *, resume: bool) -> None:
        """Start the file, or continue it.

        Raises:
            ResultsError: it cannot be written, or holds something else than this model's embeddings.
        """
        self._path = path.resolve()
        self._version = version
        self._files: list[str] = []
        self._embeddings: list[npt.NDArray[np.float32]] = []
        try:
            if path.exists() and not path.is_file():  # a device, say, which a file would replace
                raise ResultsError(f"{path} is not a file that can be written.")
            if resume and path.exists() and path.stat().st_size:
                self._continue()
            self._save()
        except OSError as error:
            raise ResultsError(f"{path} cannot be written: {error.strerror or error}.") from error
        self.done = frozenset(map(place, self._files))

    def write(self, file: str, analysis: Analysis) -> None:
        """Add a file's embedding."""
        self._files.append(file)
        self._embeddings.append(np.array(analysis.embedding.embedding, np.float32))
        if len(self._files) % SAVE_EVERY == 0:
            self._save()

    def _continue(self) -> None:
        content = read_embeddings(self._path)
        if content is None or str(content.model) != self._version:
            raise ResultsError(f"{self._path} holds something else than this model's embeddings: left as it is.")
        self._files, self._embeddings = content.files.tolist(), list(content.embeddings)

    def _save(self) -> None:
        embeddings = np.stack(self._embeddings) if self._files else np.empty((0, 0), np.float32)
        content = Content(np.array(self._files, np.str_), embeddings, np.array(self._version))
        with replacing(self._path) as part, part.open("wb") as file:
            np.savez(file, **content._asdict())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._save()


def is_embeddings(path: Path) -> bool:
    """Whether a file holds embeddings of any model, or is empty.

    Raises:
        OSError: it cannot be read.
    """
    return path.stat().st_size == 0 or read_embeddings(path) is not None


def read_embeddings(path: Path) -> Content | None:
    """What a file holds; None if it is something else.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            with np.load(file) as held:
                if set(held.files) != set(Content._fields):
                    return None
                content = Content(**held)
        except Exception:  # noqa: BLE001 (reading an arbitrary file can raise anything)
            return None
    files, embeddings, model = content
    fits = files.ndim == 1 and embeddings.ndim == 2 and model.ndim == 0 and len(files) == len(embeddings)  # noqa: PLR2004
    return content if fits else None
