"""What the browser's decoders give: a file at its own rate, and a long file in pieces that fit together."""

import io

import numpy as np
import pytest
from playwright.sync_api import Error

from genre_classifier.audio import decode
from tests.support.audio import encode, encode_av, music, tone

SECONDS = 130
DECODE = """async (file, wholeSeconds) => {
    const { decode } = await import("./classifier/decode.js");
    const { readHead } = await import("./classifier/formats/head.js");
    const { rate } = readHead(new Uint8Array(await file.arrayBuffer()));
    const whole = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
    const last = whole.getChannelData(whole.numberOfChannels - 1);
    const lengths = [];
    let [place, worst] = [0, 0];
    for (const pieces = decode(file, { wholeSeconds }); ; ) {
        const { done, value } = await pieces.next();
        if (done) return { rate, lengths, samples: last.length, worst, warning: value };
        const piece = value.channels.at(-1);
        lengths.push(piece.length);
        for (let i = 0; i < piece.length && place + i < last.length; i++) {
            worst = Math.max(worst, Math.abs(piece[i] - last[place + i]));
        }
        place += piece.length;
    }
}"""
FORMATS = {
    "stereo.wav": lambda: encode(music(44_100, SECONDS, 2), 44_100),
    "stereo.flac": lambda: encode(music(44_100, SECONDS, 2), 44_100, "FLAC"),
    "mono.mp3": lambda: encode(music(44_100, SECONDS, 1), 44_100, "MP3"),
    "low.mp3": lambda: encode(music(22_050, SECONDS, 1), 22_050, "MP3"),
    "mono.flac": lambda: encode_av(music(16_000, SECONDS, 1), 16_000, "flac", "flac"),
    "vorbis.ogg": lambda: encode(music(32_000, SECONDS, 2), 32_000, "OGG"),
    "opus.opus": lambda: encode_av(music(48_000, SECONDS, 1), 48_000, "ogg", "libopus"),
}
RATES = {"mono.flac": 16_000, "low.mp3": 22_050, "vorbis.ogg": 32_000, "opus.opus": 48_000}
ID3 = b"ID3\3\0\0\0\x12\x27\x60" + bytes(300_000)  # a tag, as of a picture: its length in parts of seven bits
END_OF_MP3 = 2 * 1152  # samples: what the encoder added is known of a whole file alone


@pytest.fixture(scope="module")
def decoding(in_a_page):
    """Decodes a file as a page of the site does."""
    return lambda name, content, whole_seconds=60: in_a_page(DECODE, name, content, whole_seconds)


@pytest.mark.parametrize("name", FORMATS)
def test_the_pieces_of_a_long_file_fit_together(decoding, name):
    """They are to the bit what the whole file decodes to."""
    decoded = decoding(name, FORMATS[name]())
    assert decoded["rate"] == RATES.get(name, 44_100)
    assert len(decoded["lengths"]) == 3
    assert decoded["worst"] == 0
    assert 0 <= sum(decoded["lengths"]) - decoded["samples"] <= END_OF_MP3 * name.endswith(".mp3")
    assert decoded["warning"] is None


@pytest.mark.parametrize(
    ("name", "rate", "content"),
    [
        ("aac.m4a", 48_000, lambda: encode_av(tone(4, rate=48_000), 48_000, "mp4", "aac")),
        ("opus.webm", 48_000, lambda: encode_av(tone(4, rate=48_000), 48_000, "webm", "libopus")),
        ("tagged.mp3", 48_000, lambda: ID3 + encode(tone(4, rate=48_000), 48_000, "MP3")),
        ("low.wav", 8_000, lambda: encode(tone(4, rate=8_000), 8_000)),
        ("high.flac", 96_000, lambda: encode(tone(4, rate=96_000), 96_000, "FLAC")),
        ("float.wav", 44_100, lambda: encode(tone(4, rate=44_100), 44_100, subtype="FLOAT")),
    ],
)
def test_a_file_is_decoded_at_its_own_rate(decoding, name, rate, content):
    decoded = decoding(name, content())
    assert decoded["rate"] == rate
    assert decoded["lengths"] == [decoded["samples"]]
    assert decoded["worst"] == 0


@pytest.mark.parametrize("name", ["stereo.wav", "low.mp3", "mono.flac"])
def test_a_long_file_that_breaks_off_is_decoded_as_far_as_it_goes(decoding, name):
    content = FORMATS[name]()
    decoded = decoding(name, content[: len(content) // 4 * 3])
    assert decoded["worst"] == 0
    seconds = sum(decoded["lengths"]) / decoded["rate"]
    assert SECONDS / 2 < seconds < SECONDS - 1
    assert decoded["warning"] == f"The file breaks off or is damaged: only {seconds:.1f} seconds of it could be read."


WITH_AN_END = {
    "vorbis.ogg": lambda _: encode(music(44_100, 20, 2), 44_100, "OGG"),
    "opus.opus": lambda _: encode_av(music(48_000, 20, 2), 48_000, "ogg", "libopus"),
    "opus.webm": lambda _: encode_av(music(48_000, 20, 2), 48_000, "webm", "libopus"),
    "sold.m4a": lambda path: encode_av(
        music(44_100, 20, 2), 44_100, "mp4", "aac", options={"movflags": "faststart"}, path=path
    ),
    "streamed.m4a": lambda _: encode_av(
        music(44_100, 20, 2), 44_100, "mp4", "aac", options={"movflags": "frag_keyframe+empty_moov"}
    ),
}


@pytest.mark.parametrize("name", WITH_AN_END)
def test_a_file_that_breaks_off_says_so_as_natively(decoding, tmp_path, name):
    content = WITH_AN_END[name](tmp_path / name)
    assert decoding(name, content)["warning"] is None
    cut = content[: len(content) * 3 // 5]
    warning = decoding(f"cut-{name}", cut)["warning"]
    assert warning.startswith("The file breaks off or is damaged: only 1")
    assert warning == decode(io.BytesIO(cut)).warning


def test_a_format_that_cannot_be_cut_is_decoded_as_one(decoding):
    content = encode_av(music(16_000, 70, 1), 16_000, "mp4", "aac")
    assert len(decoding("long.m4a", content)["lengths"]) == 1


def test_what_is_too_long_to_be_decoded_as_one_says_so(decoding):
    """Also what was recorded live, whose head tells no length."""
    live = encode_av(np.zeros(1801 * 8000, np.float32), 8_000, "webm", "libopus", options={"live": "1"})
    with pytest.raises(Error, match="The file is too long to be decoded as one, and its format cannot be cut here"):
        decoding("live.webm", live)
