"""Tensors of a TensorFlow checkpoint, read without TensorFlow: a LevelDB table of protocol buffers, and the data."""

import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

FOOTER = 48  # bytes at the end of a LevelDB table
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers
DTYPE, SHAPE, OFFSET, SIZE = 1, 2, 4, 5  # fields of TensorFlow's BundleEntryProto
FLOAT32 = 1


def read_bundle(index: bytes, data: bytes) -> dict[str, Array]:
    """The float32 tensors of a TensorFlow checkpoint: a LevelDB table and the data it points to."""
    footer = index[-FOOTER:]
    at = _varint(footer, _varint(footer, 0)[1])[1]  # behind the handle of the metaindex, which nothing needs
    tensors = {}
    for _, handle in _block(index, *_handle(footer, at)):
        for key, value in _block(index, *_handle(handle, 0)):
            entry = _message(value)
            if not key or entry.get(DTYPE, [0])[0] != FLOAT32:
                continue
            (shape,) = entry.get(SHAPE, [b""])
            assert isinstance(shape, bytes)
            sizes = [_number(_message(axis), 1) for axis in _message(shape).get(2, []) if isinstance(axis, bytes)]
            begin = _number(entry, OFFSET)
            values = np.frombuffer(data[begin : begin + _number(entry, SIZE)], dtype="<f4")
            tensors[key.decode()] = values.reshape(sizes).astype(np.float32)
    return tensors


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block of a LevelDB table; each key begins with so many bytes of the one before."""
    assert table[offset + size] == 0, "the block is compressed"
    block = table[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    end = size - 4 - 4 * restarts
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        unshared, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + unshared]
        at += unshared
        yield key, block[at : at + length]
        at += length


def _handle(buffer: bytes, at: int) -> tuple[int, int]:
    """Offset and size of a block."""
    offset, at = _varint(buffer, at)
    return offset, _varint(buffer, at)[0]


def _message(buffer: bytes) -> dict[int, list[int | bytes]]:
    """The fields of a protocol buffer, each a list of its values."""
    at, fields = 0, defaultdict[int, list[int | bytes]](list)
    while at < len(buffer):
        tag, at = _varint(buffer, at)
        value: int | bytes
        wire = tag & 7
        if wire == VARINT:
            value, at = _varint(buffer, at)
        else:
            length = {FIXED64: 8, FIXED32: 4}.get(wire)
            if length is None:
                assert wire == BYTES, "an unknown wire type"
                length, at = _varint(buffer, at)
            value, at = buffer[at : at + length], at + length
        fields[tag >> 3].append(value)
    return fields


def _number(fields: Mapping[int, list[int | bytes]], field: int) -> int:
    """A whole number of a message; what is not written is zero."""
    (value,) = fields.get(field, [0])
    assert isinstance(value, int)
    return value


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and the place behind it."""
    number = shift = 0
    while True:
        byte = buffer[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more follow
            return number, at
