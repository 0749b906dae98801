"""Real recordings, where they are at hand."""

import os
from pathlib import Path

import librosa
import numpy as np
import pytest

from audio import SAMPLE_RATE, cut_chunks, decode

DATA = Path(os.environ.get("GENRE_DATA", "../shared/data"))
SONGS = sorted((DATA / "songs").glob("*.ogg"))
CLIPS = sorted((DATA / "gtzan").glob("*/*.ogg"))[::50]

pytestmark = pytest.mark.gtzan


@pytest.mark.skipif(not SONGS + CLIPS, reason="no recordings at GENRE_DATA")
@pytest.mark.parametrize("path", SONGS + CLIPS, ids=lambda path: path.stem[:20])
def test_as_librosa_loads_it(path):
    audio = decode(path)
    assert audio.warning is None
    expected, _ = librosa.load(path, sr=SAMPLE_RATE, mono=True)
    np.testing.assert_array_equal(audio.waveform, expected)
    if len(expected) >= 3 * SAMPLE_RATE:
        assert cut_chunks(audio.waveform).shape[1] == 66_150
