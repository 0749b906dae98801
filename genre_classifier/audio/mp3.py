"""MP3 whose bit rate varies and whose head does not say so: libsndfile takes its length from the first frame alone."""

from typing import Any

LOOK_BYTES = 2**16  # some seconds, in which the bit rate of music changes if it ever does
MPEG_1, RESERVED, LAYER_3 = 3, 1, 1  # as a frame's head has them
RATES = (44_100, 48_000, 32_000)  # Hz of MPEG 1; MPEG 2 halves them, MPEG 2.5 once more
KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)


def has_varying_bitrate(file: Any) -> bool:
    """Whether frames near the beginning differ in it; the first, which may describe the others, does not count."""
    file.seek(0)
    head = file.read(10)
    file.seek(10 + _tag_bytes(head) if head[:3] == b"ID3" else 0)
    content = file.read(LOOK_BYTES)
    bitrates, place = [], 0
    while frame := _frame(content[place : place + 4]):
        kbits, length = frame
        bitrates.append(kbits)
        place += length
    return len(set(bitrates[1:])) > 1


def _tag_bytes(head: bytes) -> int:
    """How long an ID3v2 tag is after its ten bytes of head: four times seven bits."""
    return sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))


def _frame(head: bytes) -> tuple[int, int] | None:
    """Bit rate and length in bytes of the frame that begins so; None if none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:  # noqa: PLR2004
        return None
    version, layer, rate = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 2 & 3
    kbits = (KBITS_1 if version == MPEG_1 else KBITS_2)[head[2] >> 4]
    if version == RESERVED or layer != LAYER_3 or rate == len(RATES) or not kbits:
        return None
    samples = 1152 if version == MPEG_1 else 576
    hertz = RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    return kbits, samples * 125 * kbits // hertz + (head[2] >> 1 & 1)
