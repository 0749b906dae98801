"""The embeddings of all classified files, in one .npz file."""

from pathlib import Path
from types import TracebackType
from typing import Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from genre_classifier.atomic import replacing
from genre_classifier.classifier import Analysis
from genre_classifier.cli.results import ResultsError

SAVE_EVERY = 1000  # files, so that little is lost should the run be killed


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
        if path.exists() and not path.is_file():  # a device, say, which a file would replace
            raise ResultsError(f"{path} is not a file that can be written.")
        try:
            if resume and path.exists():
                self._read()
            self._save()
        except OSError as error:
            raise ResultsError(f"{path} cannot be written: {error.strerror or error}.") from error
        self.done = frozenset(self._files)

    def write(self, file: str, analysis: Analysis) -> None:
        """Add a file's embedding."""
        self._files.append(file)
        self._embeddings.append(np.array(analysis.embedding.embedding, np.float32))
        if len(self._files) % SAVE_EVERY == 0:
            self._save()

    def _read(self) -> None:
        other = ResultsError(f"{self._path} holds something else than this model's embeddings: left as it is.")
        try:
            with np.load(self._path) as held:
                files, embeddings, version = held["files"], held["embeddings"], held["model"]
        except (ValueError, KeyError, BadZipFile, EOFError, TypeError) as error:
            raise other from error
        if str(version) != self._version or embeddings.ndim != 2 or len(files) != len(embeddings):  # noqa: PLR2004
            raise other
        self._files, self._embeddings = files.tolist(), list(embeddings)

    def _save(self) -> None:
        files = np.array(self._files, np.str_)
        embeddings = np.stack(self._embeddings) if self._files else np.empty((0, 0), np.float32)
        with replacing(self._path) as part, part.open("wb") as file:
            np.savez(file, files=files, embeddings=embeddings, model=np.array(self._version))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._save()
