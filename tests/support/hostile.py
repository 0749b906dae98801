"""Files that are made to cost a decoder memory or time, small themselves."""

import io
import struct
from fractions import Fraction

import av
import numpy as np

from tests.support.audio import encode, tone


def box(kind, *parts):
    """An MP4 box."""
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content)) + kind + content


def full_box(kind, *parts):
    """An MP4 box with version and flags."""
    return box(kind, bytes(4), *parts)


def mp4(*, samples=1, chunks=1, edits=0, sample_size=4):
    """An MP4 of one AAC track whose tables claim, or hold, so many entries."""
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    mvhd = full_box(b"mvhd", struct.pack(">4I", 0, 0, 1000, 60_000), bytes(16), matrix, bytes(24), struct.pack(">I", 2))
    tkhd = box(b"tkhd", b"\0\0\0\7", struct.pack(">5I", 0, 0, 1, 0, 60_000), bytes(8), bytes(8), matrix, bytes(8))
    elst = full_box(b"elst", struct.pack(">I", edits), struct.pack(">IiI", 1, 0, 0x10000) * edits)
    mdhd = full_box(b"mdhd", struct.pack(">4I", 0, 0, 44_100, 2_646_000), bytes(4))
    hdlr = full_box(b"hdlr", bytes(4), b"soun", bytes(12), b"\0")
    esds = full_box(
        b"esds", bytes.fromhex("031900010004114015000000000000000000000000050212100601 02".replace(" ", ""))
    )
    mp4a = box(b"mp4a", bytes(6), b"\0\1", bytes(8), struct.pack(">HHHHI", 2, 16, 0, 0, 44_100 << 16), esds)
    stbl = box(
        b"stbl",
        full_box(b"stsd", struct.pack(">I", 1), mp4a),
        full_box(b"stts", struct.pack(">3I", 1, samples, 1024)),
        full_box(b"stsc", struct.pack(">4I", 1, 1, max(1, samples // chunks), 1)),
        full_box(b"stsz", struct.pack(">2I", sample_size, samples)),
        full_box(b"stco", struct.pack(">I", chunks), struct.pack(">I", 700) * min(chunks, 200_000)),
    )
    minf = box(b"minf", full_box(b"smhd", bytes(4)), stbl)
    trak = box(b"trak", tkhd, *([box(b"edts", elst)] if edits else []), box(b"mdia", mdhd, hdlr, minf))
    return box(b"ftyp", b"isom", bytes(4), b"isom") + box(b"moov", mvhd, trak) + box(b"mdat", bytes(64))


def id3_frames(count):
    """An MP3 of six seconds behind an ID3 tag of so many frames."""
    frames = b"TXXX\0\0\0\2\0\0\0\0" * count
    size = bytes(len(frames) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\4\0\0" + size + frames + encode(tone(6), container="MP3")


def tiny_blocks(count):
    """A Matroska file of so many blocks of one sample."""
    content = io.BytesIO()
    with av.open(content, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8_000)
        stream.layout = "mono"
        for number in range(count):
            packet = av.Packet(bytes(2))
            packet.stream, packet.pts, packet.time_base = stream, number, Fraction(1, 8_000)
            container.mux(packet)
    return content.getvalue()


def highest_rate(seconds):
    """A FLAC of silence in 8 channels at the highest rate that the format has: small, and slow to decode."""
    return encode(np.zeros((655_350 * seconds, 8), np.int16), rate=655_350, container="FLAC", subtype="PCM_16")
