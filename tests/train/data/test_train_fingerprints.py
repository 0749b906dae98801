"""Clips of one recording are found, and a split keeps them in one part."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from export.signals import chord
from genre_classifier.audio import SAMPLE_RATE, decode
from train.data.clips import Clip
from train.data.fingerprints import find_duplicates
from train.data.loading import without_copies
from train.data.splits import Split


def piece(rng):
    """Twenty seconds of random notes and noise bursts, different in every piece."""
    seconds = np.arange(20 * SAMPLE_RATE) / SAMPLE_RATE
    tune = np.zeros(len(seconds))
    for start in rng.uniform(0, 20, 80):
        since = np.maximum(seconds - start, 0)
        note = np.sin(2 * np.pi * rng.uniform(200, 2000) * since) * np.exp(-3 * since) * (seconds > start)
        tune += note + 0.1 * rng.standard_normal(len(seconds)) * np.exp(-30 * since) * (seconds > start)
    return (0.1 * tune).astype(np.float32)


def test_the_same_recording_is_found_in_another_excerpt():
    rng = np.random.default_rng(0)
    one, other = piece(rng), piece(rng)
    cut = one[512 * 130 + 256 : 512 * 130 + 256 + 9 * SAMPLE_RATE]  # 256 samples off the usual grid of hops
    encoded = io.BytesIO()
    soundfile.write(encoded, 0.3 * one[5 * SAMPLE_RATE :], SAMPLE_RATE, format="MP3")
    worn = decode(encoded.getvalue()).waveform
    waveforms = [one, other, cut, worn, chord(440.0).astype(np.float32), np.zeros(100, np.float32)]
    assert find_duplicates(waveforms) == [(0, 2), (0, 3), (2, 3)]


@pytest.mark.gtzan
def test_recordings_that_gtzan_holds_twice(data):
    twice = ("jazz.00033", "jazz.00051", "metal.00042", "metal.00063", "pop.00047", "pop.00080")
    once = ("jazz.00001", "metal.00004", "metal.00013", "pop.00016", "pop.00017", "disco.00001")
    names = [*twice, *once]
    waveforms = [decode(data / "gtzan" / name.split(".")[0] / f"{name}.ogg").waveform for name in names]
    found = [(names[one], names[other]) for one, other in find_duplicates(waveforms)]
    assert found == list(zip(twice[::2], twice[1::2], strict=True))


def test_of_a_recording_in_three_parts_the_last_stays(capsys):
    """The first and the last excerpt do not overlap; the one between them connects them."""
    rng = np.random.default_rng(0)
    music, second = piece(rng)[: 13 * SAMPLE_RATE], SAMPLE_RATE
    named = [Clip(name, "a", Path()) for name in ("first", "middle", "end", "other")]
    waveforms = [music[: 6 * second], music[3 * second : 10 * second], music[7 * second :], piece(rng)[: 5 * second]]
    split = Split(
        {("first", None): "train", ("middle", None): "valid", ("end", None): "test", ("other", None): "train"}
    )
    left = without_copies(split, named, waveforms)
    assert left.parts == {("end", None): "test", ("other", None): "train"}
    assert "left out: first, the same recording as end, which is in test" in capsys.readouterr().out
