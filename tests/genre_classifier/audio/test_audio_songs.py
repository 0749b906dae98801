"""Real recordings decode as librosa loads them."""

import librosa
import numpy as np
import pytest

from genre_classifier.audio import SAMPLE_RATE, cut_chunks, decode
from tests.support import DATA

SONGS = sorted(DATA.glob("songs/*.ogg")) if DATA else []
CLIPS = sorted(DATA.glob("gtzan/*/*.ogg"))[::50] if DATA else []

pytestmark = pytest.mark.gtzan


@pytest.mark.parametrize("path", SONGS + CLIPS, ids=lambda path: path.stem[:20])
def test_as_librosa_loads_it(path):
    audio = decode(path)
    assert audio.warning is None
    expected, _ = librosa.load(path, sr=SAMPLE_RATE, mono=True)
    np.testing.assert_array_equal(audio.waveform, expected)
    if len(expected) >= 3 * SAMPLE_RATE:
        assert cut_chunks(audio.waveform).shape[1] == 66_150
