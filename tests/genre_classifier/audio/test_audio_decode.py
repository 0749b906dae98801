"""decode() gives what librosa.load gives, to the bit, for what libsndfile reads."""

import io
import math
import struct
import tracemalloc
import warnings

import librosa
import numpy as np
import pytest
import soxr

from genre_classifier.audio import SAMPLE_RATE, AudioError, decode, sndfile
from tests.support.audio import encode, music

RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000)
MPEG_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
# container, subtype, rates, channels
FORMATS = [
    ("WAV", "PCM_16", RATES, (1, 2, 6, 8)),
    ("WAV", "FLOAT", RATES, (1, 2, 6, 8)),
    ("WAV", "PCM_U8", (8_000, 44_100), (1, 2)),
    ("WAV", "PCM_32", (44_100, 96_000), (2, 6)),
    ("WAV", "DOUBLE", (22_050, 44_100), (1, 2)),
    ("WAV", "IMA_ADPCM", (22_050, 44_100), (1, 2)),
    ("WAVEX", "PCM_24", (48_000, 192_000), (2, 6, 8)),
    ("RF64", "PCM_16", (44_100,), (2,)),
    ("W64", "PCM_16", (44_100,), (2,)),
    ("AU", "PCM_16", (8_000, 22_050, 44_100), (1, 2)),
    ("AU", "ULAW", (8_000,), (1,)),
    ("AIFF", "PCM_16", (44_100, 96_000), (1, 2, 6)),
    ("CAF", "ALAC_16", (44_100,), (2,)),
    ("FLAC", "PCM_16", RATES, (1, 2)),
    ("FLAC", "PCM_24", (44_100, 96_000), (1, 2, 6, 8)),
    ("OGG", "VORBIS", RATES, (1, 2)),
    ("OGG", "VORBIS", (48_000,), (6, 8)),
    ("OGG", "OPUS", OPUS_RATES, (1, 2)),
    ("OGG", "OPUS", (48_000,), (6, 8)),
    ("MP3", "MPEG_LAYER_III", MPEG_RATES, (1, 2)),
]
CASES = [
    pytest.param(container, subtype, rate, channels, id=f"{container}-{subtype}-{rate}-{channels}")
    for container, subtype, rates, counts in FORMATS
    for rate in rates
    for channels in counts
]


def librosa_load(data):
    # From bytes it has nothing but libsndfile to fall back on.
    return librosa.load(io.BytesIO(data), sr=SAMPLE_RATE, mono=True)[0]


@pytest.mark.parametrize(("container", "subtype", "rate", "channels"), CASES)
def test_parity(container, subtype, rate, channels):
    seconds = 0.5 if rate > 48_000 else 1.3
    data = encode(music(rate, seconds, channels), rate, container, subtype)
    audio = decode(data)
    assert audio.warning is None
    assert audio.waveform.dtype == np.float32
    np.testing.assert_array_equal(audio.waveform, librosa_load(data))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("frames", [0, 1, 2, 999, 1000, 1001, 1999, 2000, 2001, 10_007])
def test_streamed_equals_one_shot(rate, frames, monkeypatch):
    monkeypatch.setattr(sndfile, "BLOCK_SAMPLES", 2 * 1000)
    signal = music(rate, frames / rate, 2) if frames else np.zeros((0, 2), np.float32)
    waveform = decode(encode(signal, rate, "WAV", "FLOAT")).waveform
    assert len(waveform) == math.ceil(frames * (22_050 / rate))
    if frames:
        expected = soxr.resample(signal.mean(axis=1), rate, SAMPLE_RATE, quality="soxr_hq")
        if rate == SAMPLE_RATE:
            expected = signal.mean(axis=1)
        np.testing.assert_array_equal(waveform[: len(expected)], expected[: len(waveform)])
        assert not waveform[len(expected) :].any()


@pytest.mark.parametrize(
    ("container", "subtype"), [("FLAC", "PCM_16"), ("MP3", None), ("OGG", "VORBIS"), ("OGG", "OPUS")]
)
def test_small_blocks_decode_the_same(container, subtype, monkeypatch):
    data = encode(music(48_000, 4, 2), 48_000, container, subtype)
    whole = decode(data).waveform
    monkeypatch.setattr(sndfile, "BLOCK_SAMPLES", 2 * 1013)
    np.testing.assert_array_equal(decode(data).waveform, whole)


def test_long_file_has_many_blocks():
    data = encode(music(44_100, 20, 2), 44_100, "FLAC")
    assert sndfile.BLOCK_SAMPLES < 44_100 * 20 * 2 / 3
    np.testing.assert_array_equal(decode(data).waveform, librosa_load(data))


def test_never_clips():
    loud = music(22_050, 1, 1, peak=3.0)
    np.testing.assert_array_equal(decode(encode(loud, 22_050, "WAV", "FLOAT")).waveform, loud[:, 0])
    square = np.sign(music(44_100, 3, 1)) * np.float32(0.999)
    assert np.abs(decode(encode(square, 44_100, "MP3")).waveform).max() > 1.05


def test_wav_equals_its_flac():
    signal = (music(44_100, 3, 2) * 2**15).astype(np.int16)  # integers: the two encoders round floats differently
    wav, flac = (decode(encode(signal, 44_100, container, "PCM_16")) for container in ("WAV", "FLAC"))
    np.testing.assert_array_equal(wav.waveform, flac.waveform)


class Pipe(io.RawIOBase):
    """A file object that cannot seek."""

    def __init__(self, data):
        self.data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.data.readinto(buffer)


@pytest.mark.parametrize("name", ["song.flac", "song.mp3", "song.raw", "song.m3u8", "song.m4a", "song", "söng %d.sd2"])
def test_content_decides_not_the_name(name, tmp_path):
    data = encode(music(44_100, 1, 2), 44_100, "FLAC")
    path = tmp_path / name
    path.write_bytes(data)
    expected = decode(data).waveform
    with path.open("rb") as file:
        file.seek(100)  # an upload may have been looked at
        for source in (path, str(path), file, io.BytesIO(data), Pipe(data)):
            np.testing.assert_array_equal(decode(source).waveform, expected)
        assert not file.closed


def test_sources_are_closed(tmp_path):
    path = tmp_path / "noise.bin"
    path.write_bytes(b"no audio" * 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(AudioError):
            decode(path)


def test_missing_file(tmp_path):
    for source in (tmp_path / "gone.mp3", str(tmp_path / "gone.mp3"), "http://example.org/gone.mp3", "file:gone.mp3"):
        with pytest.raises(AudioError, match=r"^There is no readable file called (file:)?gone\.mp3\.$") as caught:
            decode(source)
        assert caught.value.kind == "missing"
    for source in (tmp_path, "a\0b.mp3", "x" * 5000, ""):
        with pytest.raises(AudioError, match="There is no readable file called"):
            decode(source)


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63fccff0bf1e00058202"
    "7f3d5bd5c70000000049454e44ae426082"
)
NOT_AUDIO = {
    "text": b"It was the best of times, it was the worst of times.\n" * 200,
    "png": PNG,
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "zip": b"PK\x05\x06" + bytes(18),
    "zeros": bytes(100_000),
    "one byte": b"R",
    "half a WAV header": encode(music(22_050, 0.1, 1), 22_050)[:20],
    "half a FLAC header": encode(music(22_050, 0.1, 1), 22_050, "FLAC")[:20],
} | {f"random {seed}": np.random.default_rng(seed).bytes(5000) for seed in range(20)}


@pytest.mark.parametrize("data", NOT_AUDIO.values(), ids=NOT_AUDIO)
def test_not_audio(data):
    with pytest.raises(AudioError) as caught:
        decode(data)
    assert caught.value.kind == "undecodable"
    assert str(caught.value).endswith(".")


def test_empty():
    with pytest.raises(AudioError, match="The file is empty"):
        decode(b"")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [22_050, 44_100])
@pytest.mark.parametrize("position", [0, 5000, -1])
def test_samples_that_are_not_numbers(value, rate, position):
    signal = music(rate, 1, 2)
    signal[position, 0] = value
    with pytest.raises(AudioError, match="samples that are not numbers") as caught:
        decode(encode(signal, rate, "WAV", "FLOAT"))
    assert caught.value.kind == "undecodable"


def wav_with(field, value):
    """A WAV of a tenth of a second with a field of its header overwritten."""
    offset, form = {"channels": (22, "<H"), "rate": (24, "<I"), "bits": (34, "<H"), "align": (32, "<H")}[field]
    data = bytearray(encode(music(22_050, 0.1, 1), 22_050))
    struct.pack_into(form, data, offset, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channels", 0),
        ("channels", 65_535),
        ("rate", 0),
        ("rate", 1),
        ("rate", 2**31 - 1),
        ("rate", 2**32 - 1),
        ("bits", 0),
        ("bits", 65_535),
    ],
)
def test_absurd_header(field, value):
    with pytest.raises(AudioError) as caught:
        decode(wav_with(field, value))
    assert caught.value.kind == "undecodable"


@pytest.mark.parametrize("container", ["WAV", "FLAC", "MP3", "OGG"])
def test_max_seconds(container):
    data = encode(music(22_050, 4, 1), 22_050, container)
    seconds = len(decode(data).waveform) / SAMPLE_RATE
    decode(data, max_seconds=seconds)
    with pytest.raises(AudioError, match=r"longer than the limit of 3\.5 seconds") as caught:
        decode(data, max_seconds=3.5)
    assert caught.value.kind == "too_long"


def test_memory_is_the_result_and_a_block():
    data = encode(np.zeros((44_100 * 300, 2), np.int16), 44_100, "FLAC")
    tracemalloc.start()
    audio = decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(audio.waveform) == 300 * SAMPLE_RATE
    # A growing bytearray takes an eighth more; a block of stereo is 2 MB, and 1 MB each as mono and resampled.
    assert peak < 1.125 * audio.waveform.nbytes + 8e6
