import subprocess
import sys

import librosa
import numpy as np
import pytest

from genre_classifier.audio import SAMPLE_RATE, chunk_starts, decode
from genre_classifier.audio.sample import PEAK, synthesise


def test_sample_is_three_chunks_of_music():
    waveform = synthesise()
    assert waveform.dtype == np.float32
    assert len(waveform) == 9 * SAMPLE_RATE
    assert len(chunk_starts(len(waveform))) == 3
    assert np.abs(waveform).max() == pytest.approx(PEAK)
    np.testing.assert_array_equal(waveform, synthesise())


def test_sample_has_its_tempo():
    tempo, _ = librosa.beat.beat_track(y=synthesise(), sr=SAMPLE_RATE)
    assert tempo.item() == pytest.approx(160, abs=4)


@pytest.mark.parametrize("extension", ["wav", "mp3"])
def test_command(extension, tmp_path):
    output = tmp_path / f"sample.{extension}"
    subprocess.run([sys.executable, "-m", "genre_classifier.audio.sample", output], check=True)
    waveform = decode(output).waveform
    assert output.stat().st_size < (150_000 if extension == "mp3" else 500_000)
    assert len(waveform) == 9 * SAMPLE_RATE
    assert np.corrcoef(waveform, synthesise())[0, 1] > 0.95


def test_command_refuses_an_unknown_format(tmp_path):
    arguments = [sys.executable, "-m", "genre_classifier.audio.sample", tmp_path / "sample.docx"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no format is called '.docx'" in done.stderr
