"""The command line's embeddings: one .npz file of all that were judged."""

from pathlib import Path
from types import TracebackType
from typing import Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from serving.judge import Judgement
from serving.report import ReportError

SAVE_EVERY = 1000  # files, so that little is lost should the run be killed


class Embeddings:
    """Files and their embeddings, in memory (some 600 bytes a file), and saved now and then and at the end.

    The file holds `files` (names, n), `embeddings` (float32, n x 128) and `model` (its version). numpy.load opens it.
    """

    def __init__(self, path: Path, version: str, *, resume: bool) -> None:
        """Begin the file anew, or go on with it.

        Raises:
            ReportError: it cannot be written, or holds something else than this model's embeddings to go on with.
        """
        self._path = path.resolve()
        self._version = version
        self._files: list[str] = []
        self._embeddings: list[npt.NDArray[np.float32]] = []
        if path.exists() and not path.is_file():  # a device, say, which a file would take the place of
            raise ReportError(f"{path} is not a file that can be written.")
        try:
            if resume and path.exists():
                self._read()
            self._save()
        except OSError as error:
            raise ReportError(f"{path} cannot be written: {error.strerror or error}.") from error
        self.done = frozenset(self._files)

    def write(self, file: str, judgement: Judgement) -> None:
        """Add a file's embedding."""
        self._files.append(file)
        self._embeddings.append(np.array(judgement.embedding.embedding, np.float32))
        if len(self._files) % SAVE_EVERY == 0:
            self._save()

    def _read(self) -> None:
        other = ReportError(f"{self._path} holds something else than this model's embeddings: left as it is.")
        try:
            with np.load(self._path) as held:
                files, embeddings, version = held["files"], held["embeddings"], held["model"]
        except (ValueError, KeyError, BadZipFile, EOFError, TypeError) as error:
            raise other from error
        if str(version) != self._version or embeddings.ndim != 2 or len(files) != len(embeddings):  # noqa: PLR2004
            raise other
        self._files, self._embeddings = files.tolist(), list(embeddings)

    def _save(self) -> None:
        """Write beside, and rename: what was saved before stays whole until then."""
        part = self._path.with_name(self._path.name + ".part")
        files = np.array(self._files, np.str_)
        embeddings = np.stack(self._embeddings) if self._files else np.empty((0, 0), np.float32)
        try:
            with part.open("wb") as file:
                np.savez(file, files=files, embeddings=embeddings, model=np.array(self._version))
            part.replace(self._path)
        finally:
            part.unlink(missing_ok=True)  # there only if it failed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._save()
