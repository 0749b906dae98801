"""Parts of the output: a Parquet file that exists is whole, and is never written again."""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import quote, unquote
from uuid import uuid4

import pyarrow as pa
from pyarrow import fs, parquet

from batch.sources import DIGEST_DIGITS, Part, Place, open_place

NAME = re.compile(rf"(?P<version>.+)-(?P<number>\d{{6,}})-(?P<digest>[0-9a-f]{{{DIGEST_DIGITS}}})\.parquet")
UNFINISHED = ".unfinished"  # so that no pattern for *.parquet takes it
LEFT_AFTER_SECONDS = 24 * 3600.0  # an unfinished file this old belongs to no process that runs


class PartFile(NamedTuple):
    """A part that exists."""

    name: str
    version: str
    """Of the model."""
    number: int


class Output:
    """The folder of parts, on this machine or in object storage."""

    def __init__(self, uri: str) -> None:
        """Open the folder; it is made when the first part is written."""
        self.place: Place = open_place(uri)

    def parts(self) -> list[PartFile]:
        """The parts that are there, of all models."""
        found = (NAME.fullmatch(info.base_name) for info in self._infos())
        return sorted(
            PartFile(match[0], unquote(match["version"]), int(match["number"])) for match in found if match is not None
        )

    def path(self, name: str) -> str:
        """A part's path in the file system."""
        return f"{self.place.path.rstrip('/')}/{name}"

    def write(self, name: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
        """Write a part under another name, and rename it; where it has come to exist meanwhile, leave that one.

        Object storage renames by copying, and shows a copy only when it is whole.
        """
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.Table.from_pylist(list(rows), schema), sink, compression="zstd")
        with self._unfinished(name, sink.getvalue()) as unfinished:
            self._rename(unfinished, self.path(name))

    def check(self) -> None:
        """Write something, and remove it, before hours of work go where nothing can be written.

        Raises:
            OSError: it cannot be written.
        """
        with self._unfinished("check", b"") as unfinished:
            self.place.system.delete_file(unfinished)

    def remove(self, name: str) -> None:
        """Remove a part."""
        self.place.system.delete_file(self.path(name))

    def tidy(self) -> None:
        """Remove the unfinished files that processes killed long ago have left."""
        for info in self._infos():
            old = info.mtime is not None and time.time() - info.mtime.timestamp() > LEFT_AFTER_SECONDS
            if info.base_name.endswith(UNFINISHED) and old:
                with suppress(OSError):
                    self.place.system.delete_file(info.path)

    @contextmanager
    def _unfinished(self, name: str, content: bytes | pa.Buffer) -> Iterator[str]:
        """The path of a new file with this content, which is removed where anything goes wrong."""
        self.place.system.create_dir(self.place.path, recursive=True)
        unfinished = self.path(f".{name}.{uuid4().hex}{UNFINISHED}")
        try:
            with self.place.system.open_output_stream(unfinished) as file:
                file.write(content)
            yield unfinished
        except BaseException:
            with suppress(OSError):
                self.place.system.delete_file(unfinished)
            raise

    def _infos(self) -> list[fs.FileInfo]:
        selector = fs.FileSelector(self.place.path, allow_not_found=True)
        return [info for info in self.place.system.get_file_info(selector) if info.is_file]

    def _rename(self, unfinished: str, path: str) -> None:
        system = self.place.system
        if isinstance(system, fs.LocalFileSystem):
            with open(unfinished, "rb") as file:  # noqa: PTH123 (strings, as pyarrow has them)
                os.fsync(file.fileno())
            try:
                os.link(unfinished, path)  # unlike a rename, replaces nothing
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                system.move(unfinished, path)
                return
            system.delete_file(unfinished)
        elif system.get_file_info(path).is_file:
            system.delete_file(unfinished)
        else:
            system.move(unfinished, path)


def part_name(part: Part, version: str) -> str:
    """A part's file name: the model's version, the part's number, and the digest of its uris and ids."""
    return f"{quote(version, safe='.+')}-{part.number:06d}-{part.digest}.parquet"
