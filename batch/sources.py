"""What is to be classified: a folder, a pattern, a prefix in object storage or a list -> a table of uris and ids."""

import hashlib
import os
from codecs import BOM_UTF8
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, fs, parquet

from genre_classifier.audio.suffixes import AUDIO_SUFFIXES
from genre_classifier.cli.files import find_files

LISTS = {".txt", ".csv", ".parquet"}
LIST_SCHEMA = pa.schema([("uri", pa.string()), ("id", pa.string())])
DIGEST_DIGITS = 16  # of the SHA-256 of a part's uris and ids


class SourceError(Exception):
    """There is nothing to classify in what was named; the message is one sentence."""


class Part(NamedTuple):
    """So many files of the list that become one Parquet file. It holds names only, never a file's content."""

    number: int
    digest: str
    """Of its uris and ids: a part of another list has another one."""
    uris: list[str]
    ids: list[str | None]


class Place(NamedTuple):
    """A file system and a path in it."""

    system: fs.FileSystem
    path: str


def open_place(uri: str) -> Place:
    """Where a path or a URI leads, by pyarrow's file systems.

    Raises:
        SourceError: the URI is none that pyarrow takes, or holds a key.
        OSError: the storage cannot be reached.
    """
    if "://" not in uri:
        return Place(fs.LocalFileSystem(), str(Path(uri).absolute()))
    try:
        parts = urlsplit(uri)
        if parts.password or (parts.scheme == "s3" and "@" in parts.netloc):  # elsewhere a container or `anonymous`
            raise SourceError("A URI must hold no key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead.")
        return Place(*fs.FileSystem.from_uri(uri))
    except ValueError as error:
        raise SourceError(f"{uri} is not a place that pyarrow can open: {first_line(error)}.") from error


def list_files(source: str) -> pa.Table:
    """All files that a source means, as columns uri and id (null without one), always in the same order.

    A list keeps its own order; all else is sorted. In memory, a file takes the bytes of its uri and its id and some 8
    more.

    Raises:
        SourceError: there are none, or the source cannot be read.
    """
    try:
        table = _read(source)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(f"{source} cannot be read: {first_line(error)}.") from error
    if not len(table):
        raise SourceError(f"There are no files in {source}.")
    if table["uri"].null_count or pc.min(pc.utf8_length(table["uri"])).as_py() == 0:
        raise SourceError(f"A uri in {source} is empty.")
    return table


def path_uri(path: str) -> str:
    """A path as it is; one that is not UTF-8, which no list can hold, as a URI."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return Path(path).absolute().as_uri()
    return path


def local_path(uri: str) -> Path | None:
    """The path on this machine that a uri means; None for one in object storage.

    Raises:
        SourceError: it is not a URI.
    """
    if "://" not in uri:
        return Path(uri)
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise SourceError(f"{uri} is not a URI: {first_line(error)}.") from error
    return Path(os.fsdecode(unquote_to_bytes(parts.path))) if parts.scheme == "file" else None


def part_count(files: int, files_per_part: int) -> int:
    """How many parts so many files become."""
    return -(-files // files_per_part)


def cut_part(files: pa.Table, number: int, files_per_part: int) -> Part:
    """One part of the list: a block of it, the same whatever shards there are."""
    block = files.slice(number * files_per_part, files_per_part)
    uris, ids = block["uri"].to_pylist(), block["id"].to_pylist()
    digest = hashlib.sha256(repr(list(zip(uris, ids, strict=True))).encode("utf-8", "surrogatepass"))
    return Part(number, digest.hexdigest()[:DIGEST_DIGITS], uris, ids)


def _read(source: str) -> pa.Table:
    suffix = Path(urlsplit(source).path if "://" in source else source).suffix.lower()
    if suffix in LISTS and (place := open_place(source)).system.get_file_info(place.path).is_file:
        return _read_list(source, place, suffix)
    if "://" not in source:
        found = find_files([source])
        if [str(path) for path in found] == [source] and not Path(source).is_file():
            if Path(source).exists():
                raise SourceError(f"{source} cannot be read: is this process allowed to?")
            raise SourceError(f"There is nothing called {source}.")
        return _table([path_uri(str(path)) for path in found])
    return _table(_list_prefix(source))


def _read_list(source: str, place: Place, suffix: str) -> pa.Table:
    with place.system.open_input_file(place.path) as file:
        if suffix == ".txt":
            lines = file.read().removeprefix(BOM_UTF8).splitlines()  # bytes: a name may hold what else ends a line
            return _table([path_uri(os.fsdecode(line)) for line in lines if line.strip()])
        if suffix == ".csv":
            types = csv.ConvertOptions(column_types={"uri": pa.string(), "id": pa.string()}, strings_can_be_null=False)
            table = csv.read_csv(file, convert_options=types)
        else:
            names = [name for name in ("uri", "id") if name in parquet.read_schema(file).names]
            table = parquet.read_table(file, columns=names)
    if table.column_names.count("uri") != 1:
        raise SourceError(f"{source} has no column uri, or several.")
    ids = table["id"].cast(pa.string()) if "id" in table.column_names else pa.nulls(len(table), pa.string())
    return pa.table({"uri": table["uri"].cast(pa.string()), "id": ids}, LIST_SCHEMA)


def _list_prefix(source: str) -> list[str]:
    """The audio files below a URI, as URIs with the same options."""
    place = open_place(source)
    parts = urlsplit(source)
    options = f"?{parts.query}" if parts.query else ""
    info = place.system.get_file_info(place.path)
    if info.is_file:
        return [source]
    # A prefix need not end at a slash: what begins with it is searched from the last folder on.
    folder = place.path if info.type == fs.FileType.Directory else place.path.rpartition("/")[0]
    found = place.system.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    prefix = place.path.rstrip("/") + "/" if info.type == fs.FileType.Directory else place.path
    named = unquote(parts.path).rstrip("/")
    return sorted(
        f"{parts.scheme}://{parts.netloc}{quote(named + each.path.removeprefix(place.path.rstrip('/')))}{options}"
        for each in found
        if each.is_file
        and each.path.startswith(prefix)
        and Path(each.path).suffix.lower() in AUDIO_SUFFIXES
        and not each.base_name.startswith(".")
    )


def _table(uris: list[str]) -> pa.Table:
    return pa.table({"uri": uris, "id": pa.nulls(len(uris), pa.string())}, LIST_SCHEMA)


def first_line(error: Exception) -> str:
    """What an exception says, without its details and its full stop."""
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
