"""Lists with names that real libraries have, and lines that are no names at all."""

import os

import pyarrow as pa
import pytest
from pyarrow import parquet

from batch.sources import SourceError, list_files, open_place
from tests.support.parquet import read

LATIN_1 = os.fsdecode("Café\udcff.wav".encode("utf-8", "surrogateescape"))
NAMES = ["a b#1 100% ?x=ä.wav", "-dash.wav", "[x].wav", "line\u2028end\x85.wav", LATIN_1]


def uris(source):
    return list_files(str(source))["uri"].to_pylist()


@pytest.fixture
def odd(music, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in NAMES:
        (folder / name).hardlink_to(music / "0000.wav")
    return folder


@pytest.mark.parametrize("kind", ["folder", "pattern", "list"])
def test_files_of_any_name_are_classified(batch, odd, tmp_path, kind):
    files = tmp_path / "list.txt"
    files.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(os.fsencode(path) for path in odd.iterdir()) + b"\r\n\r\n")
    batch({"folder": odd, "pattern": odd / "*.wav", "list": files}[kind], tmp_path / "out")
    rows = read(tmp_path / "out")
    assert len(rows) == len(NAMES)
    assert all(row["genre"] for row in rows.values())
    assert [uri for uri in rows if uri.startswith("file://")] == [(odd / LATIN_1).as_uri()]


def test_a_line_that_is_no_uri_costs_its_own_row(batch, music, tmp_path):
    good = [str(music / "0000.wav"), f"FILE://{music}/0001%2Ewav"]
    bad = ["s3://[bucket/x.wav", "file://[x", "http://127.0.0.1/x.wav", "://", "a\0b.wav", "-", "."]
    files = tmp_path / "list.parquet"
    parquet.write_table(pa.table({"uri": [*bad, *good]}), files)
    batch(files, tmp_path / "out")
    rows = read(tmp_path / "out")
    assert [uri for uri, row in rows.items() if row["genre"]] == good
    assert {row["error_kind"] for uri, row in rows.items() if uri in bad} == {"missing"}


def test_a_list_that_cannot_be_read_is_one_sentence(tmp_path):
    for name, content in {
        "twice.csv": "uri,uri\na,b\n",
        "none.csv": "id\n1\n",
        "empty.txt": "",
        "blank.csv": "uri\n",
    }.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(SourceError, match=name):
            uris(tmp_path / name)
    with pytest.raises(SourceError, match="cannot be read"):
        uris("s3://[bucket/x")


def test_a_folder_by_its_uri_is_found_under_the_same_uri(odd):
    (odd / LATIN_1).unlink()  # pyarrow lists no names but UTF-8
    found = uris(odd.as_uri() + "/")
    assert set(found) == {(odd / name).as_uri() for name in NAMES if name != LATIN_1}
    assert found == uris(odd.parent.as_uri() + "/od")


def test_a_container_of_azure_is_no_key():
    assert open_place("abfs://container@account.dfs.core.windows.net/a").path == "container/a"
    for uri in ("s3://key:secret@bucket/a", "s3://key@bucket/a", "abfs://:secret@account/a"):
        with pytest.raises(SourceError, match="no key"):
            open_place(uri)
