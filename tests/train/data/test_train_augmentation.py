"""Crops, masks and mixtures: what they change, and what they leave."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from export.signals import chord
from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE
from train.config import Config
from train.data.augmentation import Crops, Pieces, mask, mix, stretch
from train.data.chunks import Chunks
from train.data.clips import Clip


def chunks_of(*waveforms):
    clips = [Clip(f"a.{number}", "a", Path()) for number in range(len(waveforms))]
    return Chunks(clips, [waveform.astype(np.float32) for waveform in waveforms], ["a"])


def ramp(seconds):
    """Every sample shows its own index."""
    return np.arange(1, int(seconds * SAMPLE_RATE) + 1) / 1000


def test_crops_move_within_the_clip():
    chunks = chunks_of(ramp(9))
    crops = Crops(chunks, Config(crop=1.5, gain=0, speed=0))
    starts = []
    for serial in range(60):
        crop = crops[1, serial].numpy()
        start = round(float(crop[0]) * 1000) - 1
        assert np.array_equal(crop, chunks.waveforms[0][start : start + CHUNK_SAMPLES])
        starts.append(start)
    assert abs(np.array(starts) - CHUNK_SAMPLES).max() <= 1.5 * SAMPLE_RATE
    assert max(starts) - min(starts) > 2 * SAMPLE_RATE
    assert torch.equal(crops[1, 7], crops[1, 7])
    at_the_edges = [round(float(crops[index, serial][0]) * 1000) - 1 for index in (0, 2) for serial in range(20)]
    assert min(at_the_edges) == 0
    assert max(at_the_edges) == 2 * CHUNK_SAMPLES


def test_without_augmentation_crops_are_the_chunks():
    chunks = chunks_of(ramp(9))
    crops = Crops(chunks, Config(crop=0, gain=0, speed=0))
    for index in range(3):
        assert torch.equal(crops[index, 5], chunks[index][0])


def test_crops_of_a_divided_clip_stay_in_their_chunk():
    chunks = chunks_of(ramp(9))
    crops = Crops(chunks, Config(crop=1.5, gain=0, speed=0.3), divided=True)
    for serial in range(20):
        crop = crops[1, serial].numpy()
        # Resampling overshoots where the chunk is repeated; another chunk would be much further away.
        assert crop.min() > (CHUNK_SAMPLES + 1) / 1000 - 15
        assert crop.max() < 2 * CHUNK_SAMPLES / 1000 + 15


def test_short_excerpts_fill_the_crop():
    crops = Crops(chunks_of(ramp(2)), Config(crop=1.5, gain=0, speed=0.3))
    for serial in range(20):
        assert crops[0, serial].shape == (CHUNK_SAMPLES,)
        assert crops[0, serial].min() > -15


def test_speed_changes_pitch_and_gain_changes_level():
    tone = np.sin(2 * np.pi * 1000 * np.arange(9 * SAMPLE_RATE) / SAMPLE_RATE)
    faster = Crops(chunks_of(tone), Config(crop=0, gain=0, speed=0.2))
    pitches = []
    for serial in range(40):
        spectrum = np.abs(np.fft.rfft(faster[0, serial].numpy() * np.hanning(CHUNK_SAMPLES)))
        pitches.append(spectrum.argmax() / 3)
    assert 1000 / np.exp(0.2) - 1 < min(pitches) < 850
    assert 1180 < max(pitches) < 1000 * np.exp(0.2) + 1
    louder = Crops(chunks_of(tone), Config(crop=0, gain=6, speed=0))
    levels = [20 * np.log10(float(louder[0, serial].abs().max())) for serial in range(40)]
    assert -6.01 < min(levels) < -4
    assert 4 < max(levels) < 6.01


@pytest.mark.parametrize("speed", [0.0, 0.3])
def test_a_gpu_would_play_what_a_cpu_plays(speed):
    """Crops made in a batch by products, against those of soxr, on chords, which have no highest frequencies."""
    crops = Crops(chunks_of(np.concatenate([chord(440.0), chord(430.0), chord(452.0)])), Config(speed=speed))
    keys = [(0, 1), (1, 0)]
    batch = stretch(*next(iter(DataLoader(Pieces(crops), batch_sampler=[keys]))))
    expected = torch.stack([crops[key] for key in keys])
    assert batch.shape == expected.shape
    difference = (batch - expected)[:, 100:-100]  # at its ends a piece is cut, which has all frequencies
    assert difference.abs().median() < 1e-5
    assert difference.square().mean().sqrt() < 1e-3 * expected.square().mean().sqrt()
    assert torch.equal(batch, expected) == (speed == 0)


def test_what_is_played_faster_is_filtered_first():
    pieces = torch.from_numpy(np.sin(2 * np.pi * 10_000 * np.arange(80_000) / SAMPLE_RATE)[None]).float()
    speed, gain = torch.tensor([1.2, 0.9, 1.0]), torch.tensor([1.0, 1.0, 0.5])  # 12 kHz would be another tone
    loudest = stretch(pieces.expand(3, -1), speed, gain).abs()[:, 100:].amax(dim=1)
    assert loudest[0] < 0.01
    assert 0.9 < loudest[1] < 1.0  # near the filter's transition
    assert loudest[2] == pytest.approx(0.5, abs=1e-3)


def test_masks_are_no_longer_than_asked():
    torch.manual_seed(0)
    images = mask(torch.ones(200, 5, 40, 130), frames=20, coefficients=6)
    frames = (images == 0).all(dim=2)[:, 0].sum(dim=1)
    rows = (images == 0).all(dim=3)[:, 0].sum(dim=1)
    assert 15 < frames.max() <= 21
    assert 3 < rows.max() <= 7
    assert torch.equal(mask(torch.ones(2, 5, 40, 130), 0, 0), torch.ones(2, 5, 40, 130))


@pytest.mark.parametrize("shape", [(5, 40, 130), (808,)])
def test_mixtures_have_the_weights_of_their_targets(shape):
    torch.manual_seed(0)
    inputs = torch.eye(6)[:, 0].reshape(6, *[1] * len(shape)).expand(6, *shape)  # the first is one, the others zero
    mixed, target = mix(inputs, torch.eye(6), alpha=1.0)
    assert torch.allclose(target.sum(dim=1), torch.ones(6))
    assert torch.allclose(mixed.flatten(1), target[:, :1].expand(6, mixed[0].numel()))
    assert ((target > 0.01) & (target < 0.99)).any()
    assert torch.equal(mix(inputs, torch.eye(6), 0.0)[0], inputs)
