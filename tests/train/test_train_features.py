"""The features against librosa: the definition of each is what librosa 0.11 returns."""

import librosa
import numpy as np
import pytest
import torch

from audio import cut_chunks, decode
from benchmarks.baseline import librosa_features
from export.signals import synthetic_chunks
from train.features import Features

CEPSTRA = 3  # channels 0 to 2
EXACT, TYPICAL = 1e-2, 1e-3  # largest difference of any chunk, and of the median chunk, for channels 0 to 2
TUNING_AGREES, BEATS_AGREE = 0.99, 0.98
DECIDED = 1e-2  # of channels 3 and 4 where beats and tuning are librosa's


@pytest.fixture(scope="module")
def features():
    return Features().eval()


class Comparison:
    """Both sides of one set of chunks."""

    def __init__(self, features, names, chunks):
        self.names = names
        with torch.inference_mode():
            given, beats, tunings = [], [], []
            for part in torch.from_numpy(np.stack(chunks)).split(50):
                power = features.spectrum(part)
                given.append(features(part))
                beats.append(features.beats(features.decibels(power)))
                tunings.append(features.tuning(power))
        self.given = torch.cat(given).numpy()
        expected = np.stack([librosa_features(chunk) for chunk in chunks])
        self.difference = np.abs(self.given - expected).max(axis=(2, 3))
        their_beats = [librosa.beat.beat_track(y=chunk, sr=22050)[1] for chunk in chunks]
        ours = [np.flatnonzero(mask) for mask in torch.cat(beats).numpy()]
        self.beats_equal = np.array([np.array_equal(*pair) for pair in zip(ours, their_beats, strict=True)])
        powers = [np.abs(librosa.stft(chunk)) ** 2 for chunk in chunks]
        their_tunings = [librosa.estimate_tuning(S=power, sr=22050, bins_per_octave=12) for power in powers]
        self.tuning_equal = np.isclose(torch.cat(tunings).numpy(), their_tunings, rtol=0, atol=1e-6)

        # On an impulse, librosa's own float32 and float64 disagree: what is given need only be finite.
        self.decided = np.array([name != "impulse" for name in names])

    def where(self, mask):
        return [name for name, chosen in zip(self.names, mask, strict=True) if chosen]


@pytest.fixture(scope="module")
def synthetic(features):
    chunks = synthetic_chunks()
    return Comparison(features, list(chunks), list(chunks.values()))


@pytest.fixture(scope="module")
def real(features, data):
    """Two chunks each of at least a hundred clips of all genres, and all of the longer songs."""
    names, chunks = [], []
    clips = sorted((data / "gtzan").glob("*/*.ogg"))
    for path in [*clips[::4], *sorted((data / "songs").glob("*.ogg"))]:
        waveform = decode(path).waveform
        if len(waveform) >= 66150:
            cut = cut_chunks(waveform)
            chosen = [1, -1] if path.parent.parent.name == "gtzan" else range(len(cut))
            names += [f"{path.stem} {index}" for index in chosen]
            chunks += [cut[index] for index in chosen]
    assert len(chunks) >= 200
    return Comparison(features, names, chunks)


@pytest.mark.parametrize("signals", ["synthetic", pytest.param("real", marks=pytest.mark.gtzan)])
class TestAgainstLibrosa:
    @pytest.fixture
    def compared(self, signals, request):
        return request.getfixturevalue(signals)

    def test_finite(self, compared):
        assert np.isfinite(compared.given).all()

    def test_mfcc_and_derivatives(self, compared):
        difference = compared.difference[:, :CEPSTRA]
        assert not compared.where((difference > EXACT).any(axis=1))
        assert (np.median(difference, axis=0) <= TYPICAL).all()

    def test_tuning_and_chroma(self, compared):
        equal = compared.tuning_equal
        assert equal[compared.decided].mean() >= TUNING_AGREES, compared.where(~equal)
        assert not compared.where(equal & compared.decided & (compared.difference[:, 4] > DECIDED))

    def test_beats_and_synchronous_mfcc(self, compared):
        equal = compared.beats_equal
        assert equal[compared.decided].mean() >= BEATS_AGREE, compared.where(~equal)
        assert not compared.where(equal & compared.decided & (compared.difference[:, 3] > DECIDED))


def test_known_answers(features):
    chunks = synthetic_chunks()
    names = ["tone 440.0 Hz", "chord, A at 436.5 Hz", "clicks at 120.0 BPM", "silence"]
    with torch.inference_mode():
        power = features.spectrum(torch.from_numpy(np.stack([chunks[name] for name in names])))
        tuning = features.tuning(power)
        chroma = features.chroma(power, tuning)
        beats = features.beats(features.decibels(power))
    assert chroma[0, :, 60].argmax() == 9  # C is 0, A is 9
    assert tuning[1] == pytest.approx(
        12 * np.log2(436.5 / 440), abs=0.05
    )  # the parabola is taken on power, which biases it
    spaces = np.diff(np.flatnonzero(beats[2].numpy())) * 512 / 22050
    assert len(spaces) >= 4
    # A beat every half second, to a frame; but for the last, which lies where the chunk ends.
    assert np.abs(spaces[:-1] - 0.5).max() < 0.03
    assert not beats[3].any()
    assert tuning[3] == 0


def test_a_chunk_does_not_depend_on_its_batch(features):
    chunks = torch.from_numpy(np.stack(list(synthetic_chunks().values())))
    with torch.inference_mode():
        together = features(chunks)
        alone = torch.cat([features(chunk[None]) for chunk in chunks])
    # Noise 90 dB down and silence included: no chunk's decision reaches into another's.
    assert (together - alone).abs().max() < 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu(features):
    chunks = torch.from_numpy(np.stack(list(synthetic_chunks().values())))
    with torch.inference_mode():
        expected = features(chunks)
        given = Features().eval().cuda()(chunks.cuda()).cpu()
    assert (given - expected)[:, :CEPSTRA].abs().max() < EXACT
