"""A clip's chunks: those that `chunk_starts` names, the silent ones left out."""

import numpy as np
import pytest

from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE, AudioError, chunk_starts, cut_chunks, iter_chunks
from genre_classifier.clip import Clip
from tests.support.audio import encode, tone

EIGHT = 8 * CHUNK_SAMPLES
LENGTHS = [CHUNK_SAMPLES, EIGHT, EIGHT + 22049, EIGHT + 22050, EIGHT + CHUNK_SAMPLES - 1]


def written(path, waveform):
    path.write_bytes(encode(waveform, subtype="FLOAT"))
    return path


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("block", [1000, CHUNK_SAMPLES, 10**7])
def test_chunks_are_cut_alike_however_the_waveform_arrives(samples, block):
    noise = np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)
    chunks = list(iter_chunks(noise[start : start + block] for start in range(0, samples, block)))
    expected = [noise[start : start + CHUNK_SAMPLES] for start in chunk_starts(samples)]
    np.testing.assert_array_equal(chunks, expected)


@pytest.mark.parametrize("samples", LENGTHS)
def test_a_clip_of_a_file_has_the_chunks_of_its_waveform(tmp_path, samples):
    noise = np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)
    clip = Clip()
    chunks = list(clip.read(written(tmp_path / "clip.wav", noise)))
    np.testing.assert_array_equal(chunks, cut_chunks(noise))
    assert clip.starts == chunk_starts(samples)
    assert clip.audible == [True] * len(clip.starts)
    assert clip.duration == samples / SAMPLE_RATE


def test_silent_chunks_are_left_out(tmp_path):
    music, silence = tone(3), np.zeros(CHUNK_SAMPLES, np.float32)
    clip = Clip()
    path = written(tmp_path / "clip.wav", np.concatenate([silence, music, silence + 0.0009]))
    np.testing.assert_array_equal(list(clip.read(path)), music[None])
    assert clip.audible == [False, True, False]
    assert clip.starts == [0, CHUNK_SAMPLES, 2 * CHUNK_SAMPLES]


def test_silence_throughout_is_an_error(tmp_path):
    path = written(tmp_path / "silence.wav", np.zeros(CHUNK_SAMPLES, np.float32))
    with pytest.raises(AudioError, match="silent") as error:
        list(Clip().read(path))
    assert error.value.kind == "silent"


def test_minus_60_dbfs_is_audible(tmp_path):
    clip = Clip()
    list(clip.read(written(tmp_path / "quiet.wav", np.full(CHUNK_SAMPLES, -0.0010001, np.float32))))
    assert clip.audible == [True]
