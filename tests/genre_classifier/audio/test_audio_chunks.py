import pickle

import numpy as np
import pytest

from genre_classifier.audio import (
    CHUNK_SAMPLES,
    CHUNK_SECONDS,
    MIN_TAIL_SAMPLES,
    SAMPLE_RATE,
    AudioError,
    chunk_starts,
    cut_chunks,
)


def test_constants():
    assert (SAMPLE_RATE, CHUNK_SECONDS, CHUNK_SAMPLES, MIN_TAIL_SAMPLES) == (22_050, 3, 66_150, 22_050)


@pytest.mark.parametrize(
    ("samples", "starts"),
    [
        (66_150, [0]),
        (66_150 + 1, [0]),
        (66_150 + 22_049, [0]),
        (66_150 + 22_050, [0, 22_050]),
        (2 * 66_150 - 1, [0, 66_149]),
        (2 * 66_150, [0, 66_150]),
        (2 * 66_150 + 22_049, [0, 66_150]),
        (2 * 66_150 + 22_050, [0, 66_150, 88_200]),
        (30 * 22_050, [66_150 * index for index in range(10)]),
        (29 * 22_050, [*(66_150 * index for index in range(9)), 29 * 22_050 - 66_150]),
    ],
)
def test_chunks(samples, starts):
    waveform = np.arange(samples, dtype=np.float32)
    chunks = cut_chunks(waveform)
    assert chunk_starts(samples) == starts
    assert chunks.shape == (len(starts), 66_150)
    assert chunks.dtype == np.float32
    assert [int(chunk[0]) for chunk in chunks] == starts
    assert (np.diff(chunks, axis=1) == 1).all()


@pytest.mark.parametrize(("samples", "told"), [(0, "0 seconds"), (1, "0 seconds"), (66_149, "2.9 seconds")])
def test_shorter_than_a_chunk(samples, told):
    for cut in (lambda: chunk_starts(samples), lambda: cut_chunks(np.zeros(samples, np.float32))):
        with pytest.raises(AudioError, match=f"{told} long and must be at least 3") as caught:
            cut()
        assert caught.value.kind == "too_short"


def test_error_survives_a_process_pool():
    error = pickle.loads(pickle.dumps(AudioError("Too long.", "too_long")))
    assert (str(error), error.kind) == ("Too long.", "too_long")
