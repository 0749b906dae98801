"""The features against librosa 0.11, which defines each of them."""

import numpy as np
import pytest
import torch

from benchmarks.exactness import Comparison, real_chunks
from export.signals import synthetic_chunks
from train.features import Features

CEPSTRA = 3  # channels 0 to 2
EXACT, TYPICAL = 1e-2, 1e-3  # largest difference of any chunk, and of the median chunk, in channels 0 to 2
TUNING_AGREES, BEATS_AGREE = 0.99, 0.98
DECIDED = 1e-2  # largest difference in channels 3 and 4 if beats and tuning are the same


@pytest.fixture(scope="module")
def features():
    return Features().eval()


@pytest.fixture(scope="module")
def synthetic(features):
    chunks = synthetic_chunks()
    del chunks["far beyond full scale"]  # librosa's own power overflows
    return Comparison(features, chunks)


@pytest.fixture(scope="module")
def real(features, data):
    chunks = real_chunks(data)
    assert len(chunks) >= 200
    return Comparison(features, chunks)


@pytest.mark.parametrize("signals", ["synthetic", pytest.param("real", marks=pytest.mark.gtzan)])
class TestAgainstLibrosa:
    @pytest.fixture
    def compared(self, signals, request):
        return request.getfixturevalue(signals)

    @pytest.fixture
    def decided(self, compared):
        """All chunks but the impulse, on which librosa disagrees with itself between float32 and float64."""
        return np.array([name != "impulse" for name in compared.names])

    def test_finite(self, compared):
        assert np.isfinite(compared.features).all()

    def test_mfcc_and_derivatives(self, compared, decided):
        difference = compared.difference[:, :CEPSTRA]
        assert not names_where(compared, decided & (difference > EXACT).any(axis=1))
        assert (np.median(difference, axis=0) <= TYPICAL).all()

    def test_tuning_and_chroma(self, compared, decided):
        equal = compared.tuning_equal
        assert equal[decided].mean() >= TUNING_AGREES, names_where(compared, ~equal)
        assert not names_where(compared, equal & decided & (compared.difference[:, 4] > DECIDED))

    def test_beats_and_synchronous_mfcc(self, compared, decided):
        equal = compared.beats_equal
        assert equal[decided].mean() >= BEATS_AGREE, names_where(compared, ~equal)
        assert not names_where(compared, equal & decided & (compared.difference[:, 3] > DECIDED))


def names_where(compared, mask):
    return [name for name, chosen in zip(compared.names, mask, strict=True) if chosen]


def test_known_answers(features):
    chunks = synthetic_chunks()
    names = ["tone 440.0 Hz", "chord, A at 436.5 Hz", "clicks at 120.0 BPM", "silence"]
    with torch.inference_mode():
        power = features.spectrum(torch.from_numpy(np.stack([chunks[name] for name in names])))
        tuning = features.tuning(power)
        chroma = features.chroma(power, tuning)
        beats = features.beats(features.decibels(power))
    assert chroma[0, :, 60].argmax() == 9  # C is 0, A is 9
    # The parabola through power values, as librosa takes it, is biased.
    assert tuning[1] == pytest.approx(12 * np.log2(436.5 / 440), abs=0.05)
    spaces = np.diff(np.flatnonzero(beats[2].numpy())) * 512 / 22050
    assert len(spaces) >= 4
    # A beat every half second, within one frame; the last one is at the end of the chunk.
    assert np.abs(spaces[:-1] - 0.5).max() < 0.03
    assert not beats[3].any()
    assert tuning[3] == 0


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1e3, 1e9, 1e17, 3e38])
def test_finite_at_any_scale(features, scale):
    chunks = np.stack(list(synthetic_chunks().values()))
    chunks = chunks / np.abs(chunks).max(axis=1, keepdims=True).clip(min=1e-38)
    with torch.inference_mode():
        assert torch.isfinite(features(torch.from_numpy((chunks * np.float32(scale)).astype(np.float32)))).all()


def test_a_chunk_does_not_depend_on_its_batch(features):
    chunks = torch.from_numpy(np.stack(list(synthetic_chunks().values())))
    with torch.inference_mode():
        together = features(chunks)
        alone = torch.cat([features(chunk[None]) for chunk in chunks])
    # With noise at -90 dB and silence among them: no chunk affects another.
    assert (together - alone).abs().max() < 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu(features):
    chunks = torch.from_numpy(np.stack(list(synthetic_chunks().values())))
    with torch.inference_mode():
        expected = features(chunks)
        given = Features().eval().cuda()(chunks.cuda()).cpu()
    assert (given - expected)[:, :CEPSTRA].abs().max() < EXACT
