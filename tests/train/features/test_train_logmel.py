"""The log-mel spectrogram of the transfer network: against librosa, and its resampling against soxr."""

import librosa
import numpy as np
import pytest
import soxr
import torch

from export.signals import chord, synthetic_chunks
from genre_classifier.audio import SAMPLE_RATE
from train.features.logmel import BANDS, BODY_RATE, FRAMES, RESAMPLED, LogMel

# Hz, and the largest share of a signal's power below it that resampling may change: soxr's filter is steeper.
EXACT_BELOW = ((5000, -90), (6000, -70), (6500, -60))


@pytest.fixture(scope="module")
def logmel():
    return LogMel().eval()


@pytest.fixture(scope="module")
def chunks():
    found = synthetic_chunks()
    del found["far beyond full scale"]  # its power overflows
    return np.stack(list(found.values()))


@torch.inference_mode()
def test_log_mel_is_librosas(logmel, chunks):
    """On the same samples at 16 kHz."""
    resampled = logmel.resample(torch.from_numpy(chunks)).numpy()
    options = {"sr": BODY_RATE, "n_fft": 512, "hop_length": 256, "n_mels": BANDS}
    expected = [np.log10(1 + 10_000 * librosa.feature.melspectrogram(y=y, **options)[:, :FRAMES]) for y in resampled]
    given = logmel(torch.from_numpy(chunks)).numpy()
    assert given.shape == (len(chunks), BANDS, FRAMES)
    assert np.abs(given - np.stack(expected)).max() < 1e-4


@torch.inference_mode()
@pytest.mark.parametrize(("hertz", "decibels"), EXACT_BELOW)
def test_resampling_is_soxrs(logmel, hertz, decibels):
    """White noise: the difference from soxr_hq below a frequency, relative to the noise there."""
    noise = np.random.default_rng(0).standard_normal((4, 66_150)).astype(np.float32)
    expected = np.stack([soxr.resample(each, SAMPLE_RATE, BODY_RATE, "HQ") for each in noise])
    given = logmel.resample(torch.from_numpy(noise)).numpy()
    assert given.shape == expected.shape == (4, RESAMPLED)
    inner = slice(200, -200)  # the two differ in what they hear beyond the ends
    window = np.hanning(RESAMPLED - 400)
    difference, whole = (np.abs(np.fft.rfft(each[:, inner] * window)) ** 2 for each in (given - expected, expected))
    below = np.fft.rfftfreq(len(window), 1 / BODY_RATE) < hertz
    assert 10 * np.log10(difference[:, below].sum() / whole[:, below].sum()) < decibels


@torch.inference_mode()
def test_nothing_is_folded_back(logmel):
    """A tone of 9 kHz, which 16 kHz cannot hold, is gone."""
    tone = np.sin(2 * np.pi * 9000 * np.arange(66_150) / SAMPLE_RATE).astype(np.float32)
    resampled = logmel.resample(torch.from_numpy(tone[None])).numpy()[0, 200:-200]
    assert 20 * np.log10(np.abs(resampled).max()) < -60


@torch.inference_mode()
def test_a_tone_is_in_its_band(logmel):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(66_150) / SAMPLE_RATE).astype(np.float32)
    bands = logmel(torch.from_numpy(tone[None]))[0, :, 90]
    centres = librosa.mel_frequencies(BANDS + 2, fmin=0, fmax=8000)[1:-1]
    assert centres[bands.argmax()] == pytest.approx(1000, abs=50)


@torch.inference_mode()
def test_a_chunk_does_not_depend_on_its_batch(logmel):
    pair = torch.from_numpy(np.stack([chord(440.0), 3.0 * chord(300.0)]).astype(np.float32))
    alone = torch.cat([logmel(each[None]) for each in pair])
    assert (logmel(pair) - alone).abs().max() < 1e-5
