"""A row a file: the one schema of all parts."""

import json
from typing import Any

import pyarrow as pa

from genre_classifier.classifier import Analysis
from genre_classifier.session import ModelInfo

FLOATS = pa.map_(pa.string(), pa.float32())
SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        ("id", pa.string()),
        ("genre", pa.string()),
        ("confidence", pa.float32()),
        ("uncertain", pa.bool_()),
        ("recognised", pa.bool_()),
        ("duration", pa.float64()),  # seconds
        ("chunks", pa.int32()),
        ("probabilities", FLOATS),
        ("votes", pa.map_(pa.string(), pa.int32())),
        ("tags", FLOATS),
        ("embedding", pa.list_(pa.float32())),
        ("warning", pa.string()),
        ("error", pa.string()),
        ("error_kind", pa.string()),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("seconds", pa.float32(), nullable=False),  # from the file's begin to its answer, beside others
    ]
)


def schema(info: ModelInfo) -> pa.Schema:
    """The schema with what the model says of itself in its metadata."""
    return SCHEMA.with_metadata({"model_version": info.version, "labels": json.dumps(info.labels)})


def make_row(
    uri: str, identity: str | None, answer: Analysis | Exception, info: ModelInfo, seconds: float
) -> dict[str, Any]:
    """The row of a file; where it has no answer, its error and nulls."""
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    row |= {"uri": uri, "id": identity, "model_version": info.version, "seconds": seconds}
    if isinstance(answer, Exception):
        return row | {"error": str(answer), "error_kind": getattr(answer, "kind", "unknown")}
    verdict = answer.verdict
    return row | {
        **{name: getattr(verdict, name) for name in ("genre", "confidence", "uncertain", "recognised", "duration")},
        **{name: _items(getattr(verdict, name)) for name in ("probabilities", "votes", "tags")},
        "chunks": len(verdict.segments),
        "embedding": answer.embedding.embedding,
        "warning": verdict.warning,
    }


def _items(values: dict[str, Any] | None) -> list[tuple[str, Any]] | None:
    return None if values is None else list(values.items())
