"""Files that break off, are damaged, or expand to far more than they weigh."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

from genre_classifier.audio import SAMPLE_RATE, AudioError, cut_chunks, decode
from tests.support.audio import encode, encode_av, music

RATE = 48_000
SECONDS = 8
# container, codec; libsndfile's subtype, or FFmpeg's codec in lower case
FILES = [
    ("WAV", "PCM_16"),
    ("WAVEX", "FLOAT"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AU", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("MP3", "MPEG_LAYER_III"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("ipod", "aac"),
    ("ipod", "alac"),
    ("webm", "libopus"),
    ("matroska", "flac"),
    ("asf", "wmav2"),
    ("adts", "aac"),
    ("wv", "wavpack"),
]
IDS = ["-".join(file) for file in FILES]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    signal = music(RATE, SECONDS, 2)
    folder = tmp_path_factory.mktemp("files")
    encoded = {}
    for container, codec in FILES:
        if codec.isupper():
            encoded[container, codec] = encode(signal, RATE, container, codec)
        else:
            # An M4A's index comes last unless asked otherwise, and then nothing is left of one that breaks off.
            options = {"movflags": "faststart"} if container == "ipod" else {}
            path = folder / f"{codec}.{container}"
            encoded[container, codec] = encode_av(signal, RATE, container, codec, options=options, path=path)
    return encoded


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_whole_file_has_no_warning(file, files):
    assert decode(files[file]).warning is None


@pytest.mark.parametrize("file", FILES, ids=IDS)
@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9])
def test_breaks_off(file, kept, files):
    data = files[file]
    whole = decode(data).waveform
    audio = decode(data[: int(kept * len(data))])
    seconds = len(audio.waveform) / SAMPLE_RATE
    assert seconds == pytest.approx(kept * SECONDS, abs=1.1)  # a page of Ogg is a second
    assert audio.warning == f"The file breaks off or is damaged: only {seconds:.1f} seconds of it could be read."
    # What is there is what the whole file has there, but for the last packet and the resampler's last samples.
    judged = len(audio.waveform) - SAMPLE_RATE // 10
    np.testing.assert_allclose(audio.waveform[:judged], whole[:judged], atol=1e-6)


def test_breaks_off_before_the_first_chunk(files):
    audio = decode(files["FLAC", "PCM_16"][: len(files["FLAC", "PCM_16"]) // 5])
    assert audio.warning
    with pytest.raises(AudioError) as caught:
        cut_chunks(audio.waveform)
    assert caught.value.kind == "too_short"


def test_index_cut_off():
    data = encode_av(music(RATE, 4, 2), RATE, "ipod", "aac")
    with pytest.raises(AudioError) as caught:
        decode(data[: len(data) // 2])
    assert caught.value.kind == "undecodable"


@pytest.mark.parametrize("declared", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_wav_from_a_pipe_is_whole(declared):
    """A program that writes to a pipe cannot go back to fill in the length."""
    data = bytearray(encode(music(RATE, 2, 2), RATE))
    data[4:8] = data[40:44] = declared.to_bytes(4, "little")
    audio = decode(bytes(data))
    assert len(audio.waveform) == 2 * SAMPLE_RATE
    assert audio.warning is None


def with_flac_length(data, frames):
    """Overwrite the 36-bit length in a FLAC's header."""
    changed = bytearray(data)
    changed[21] = changed[21] & 0xF0 | frames >> 32
    changed[22:26] = (frames & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(changed)


def test_flac_from_a_pipe_is_whole():
    data = encode(music(RATE, 2, 2), RATE, "FLAC")
    audio = decode(with_flac_length(data, 0), max_seconds=3)
    assert audio.warning is None
    np.testing.assert_array_equal(audio.waveform, decode(data).waveform)


def test_trailing_bytes_are_no_damage():
    data = encode(music(RATE, 2, 2), RATE)
    assert decode(data + bytes(1000)).warning is None


def test_damage_in_the_middle():
    data = bytearray(encode(music(RATE, 8, 2), RATE, "FLAC"))
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    audio = decode(bytes(data))
    assert audio.warning
    assert 3 < len(audio.waveform) / SAMPLE_RATE < 5


def test_bomb_that_says_so_is_refused_by_its_header():
    ten_hours = with_flac_length(encode(np.zeros((RATE, 2), np.int16), RATE, "FLAC"), 10 * 3600 * RATE)
    with pytest.raises(AudioError, match="longer than the limit of 600 seconds") as caught:
        decode(ten_hours, max_seconds=600)
    assert caught.value.kind == "too_long"


BOMB = """
import resource, sys
from genre_classifier.audio import AudioError, decode
decode(sys.argv[1], max_seconds=2)
before = resource.getrusage(resource.RUSAGE_SELF)
try:
    decode(sys.argv[2], max_seconds=60)
except AudioError as error:
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(error.kind, (after.ru_maxrss - before.ru_maxrss) // 1024)
"""


def test_bomb_that_lies_is_bounded(tmp_path):
    """An hour of silence in 200 kB whose header tells no length."""
    (tmp_path / "second.flac").write_bytes(encode(music(RATE, 1, 1), RATE, "FLAC"))
    hour = encode(np.zeros((3600 * 16_000, 1), np.int16), 16_000, "FLAC")
    (tmp_path / "bomb.flac").write_bytes(with_flac_length(hour, 0))
    arguments = [sys.executable, "-c", BOMB, tmp_path / "second.flac", tmp_path / "bomb.flac"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    kind, megabytes = done.stdout.split()
    assert kind == "too_long"
    assert int(megabytes) < 25  # 60 seconds are 5 MB; the whole hour would be 318 MB


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_no_mutation_raises_anything_else(file, files):
    """A short form of a longer hunt: bytes overwritten, mostly near the start, pieces cut off or put in."""
    container, codec = file
    signal = music(24_000, 0.5, 2)
    small = encode(signal, 24_000, *file) if codec.isupper() else encode_av(music(RATE, 0.5, 2), RATE, container, codec)
    generator = np.random.default_rng(len(small))
    kinds = set()
    for _ in range(60):
        data = bytearray(small)
        reach = len(data) if generator.random() < 0.5 else min(len(data), 300)
        for position in generator.integers(reach, size=generator.choice([1, 2, 8, 64])):
            data[position] = generator.choice([0, 127, 128, 255, generator.integers(256)])
        if generator.random() < 0.2:
            del data[generator.integers(len(data)) :]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                audio = decode(bytes(data), max_seconds=60)
            assert np.isfinite(audio.waveform).all()
            kinds.add("decoded")
        except AudioError as error:
            kinds.add(error.kind)
    assert kinds <= {"decoded", "undecodable", "too_long"}
    assert "decoded" in kinds
