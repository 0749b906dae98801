"""Rows and parts that `python -m batch` has written."""

import pyarrow as pa
from pyarrow import parquet

FILES = 300
"""In the folder that the tests classify."""


def read(output):
    """All rows of a folder of parts, by uri; each uri once."""
    rows = pa.concat_tables(parquet.read_table(path) for path in sorted(output.glob("*.parquet"))).to_pylist()
    assert len({row["uri"] for row in rows}) == len(rows)
    return {row["uri"]: row for row in rows}


def without_time(rows):
    """Rows that must be the same whoever made them: floats are rounded, since runs of other sizes add otherwise."""
    return {
        uri: (row["id"], row["genre"], round(row["confidence"] or 0, 4), row["duration"], row["votes"], row["error"])
        for uri, row in rows.items()
    }


def inodes(output):
    """What tells whether a part has been written again."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in output.glob("*.parquet")}
