"""Statistics of images against NumPy and SciPy."""

import itertools

import numpy as np
import pytest
import scipy
import torch

from export.signals import synthetic_chunks
from train.features import Features
from train.network.statistics import MODULATIONS, STATISTICS, Statistics


@pytest.fixture(scope="module")
def images():
    chunks = synthetic_chunks()
    with torch.inference_mode():
        features = Features()(torch.from_numpy(np.stack(list(chunks.values()))))
    return dict(zip(chunks, features, strict=True))


def reference(image):
    rows = image.reshape(200, 130).astype(np.float64)
    # Of 120 points of the inverse transform, every fifth is the centre of one of 24 bands.
    padded = np.pad(rows[:40], ((0, 80), (0, 0)))
    bands = scipy.fft.idct(padded, axis=0, norm="ortho")[2::5] * np.sqrt(120 / 128)
    bands -= bands.mean(axis=1, keepdims=True)
    window = scipy.signal.get_window("hann", 130)
    power = np.abs(np.fft.rfft(bands * window / 130)) ** 2
    edges = itertools.pairwise(MODULATIONS)
    modulation = np.log(np.stack([power[:, low:high].mean(axis=1) for low, high in edges], axis=1) + 1e-3)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.corrcoef(bands)[np.triu_indices(24, 1)]
    pairs = (modulation[::2] + modulation[1::2]) / 2
    statistics = np.concatenate([rows.mean(axis=1), rows.std(axis=1), pairs.ravel(), correlation])
    return statistics, bands.std(axis=1)


def test_statistics_agree_with_numpy(images):
    correlated = 0
    for name, image in images.items():
        given = Statistics()(image[None])[0].numpy()
        assert given.shape == (STATISTICS,)
        expected, deviation = reference(image.numpy())
        assert np.abs(given - expected)[:532].max() < 2e-3, name
        if deviation.min() > 0.5:  # dB: for constant bands NumPy returns the correlation of rounding errors
            assert np.abs(given - expected)[532:].max() < 2e-3, name
            correlated += 1
    assert correlated > 10


def test_constant_bands_are_finite_and_uncorrelated():
    still = torch.full((2, 5, 40, 130), -3.0)
    given = Statistics()(still)
    assert torch.isfinite(given).all()
    assert given[:, -276:].abs().max() < 1e-3


def test_a_rhythm_shows_at_its_frequency():
    """A level that varies at 8 cycles a chunk has its power in the modulation band from 8 on."""
    image = torch.zeros(1, 5, 40, 130)
    image[0, 0, 0] = 50 * torch.cos(2 * torch.pi * 8 * torch.arange(130) / 130)
    modulation = Statistics()(image)[0, 400:532].reshape(12, 11)
    assert (modulation.argmax(dim=1) == MODULATIONS.index(8)).all()
