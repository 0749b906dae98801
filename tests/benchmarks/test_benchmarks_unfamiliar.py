"""Sounds that are no music, and a small run of `python -m benchmarks.unfamiliar`."""

import json
import shutil

import numpy as np
import pytest
import soundfile as sf

from benchmarks import unfamiliar
from benchmarks.unfamiliar import KINDS, SECONDS, available, familiarity, make
from genre_classifier.audio import SAMPLE_RATE
from genre_classifier.models import MODELS, find_model
from tests.support.audio import music
from train.data.splits import load_split
from train.errors import TrainingError
from train.evaluation.models import open_model

needs_espeak = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
kinds = pytest.mark.parametrize(
    "kind", [pytest.param("speech", marks=needs_espeak), *(kind for kind in KINDS if kind != "speech")]
)


@kinds
def test_a_seed_is_a_sound(kind):
    one, again, other = make(kind, 0), make(kind, 0), make(kind, 1)
    assert len(one) == SECONDS * SAMPLE_RATE
    assert np.abs(one).max() == pytest.approx(0.5)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@kinds
def test_the_model_that_ships_does_not_recognise_most_of_them(kind):
    model = open_model(MODELS["genre"])
    caught = sum(familiarity(model, make(kind, seed)) <= model.recognised_above for seed in range(2000, 2006))
    assert caught >= 3


def test_a_small_run(tmp_path, monkeypatch, capsys):
    tested = min(name for name in load_split("fault-filtered").clips("test") if name.startswith("jazz"))
    folder = tmp_path / "gtzan" / "jazz"
    folder.mkdir(parents=True)
    sf.write(folder / f"{tested}.wav", music(SAMPLE_RATE, 7, 1), SAMPLE_RATE)
    sf.write(folder / "another.wav", music(SAMPLE_RATE, 7, 1), SAMPLE_RATE)
    monkeypatch.setattr(unfamiliar, "COUNT", 1)
    settings = {"data": tmp_path, "split": "fault-filtered", "seed": 0, "output": tmp_path / "out" / "unfamiliar.json"}
    unfamiliar.run(checkpoint=find_model("genre"), others=[folder], **settings)
    result = json.loads(settings["output"].read_text())
    assert result["clips"] == 1
    assert result["kinds"].keys() == {*available(), "jazz"}
    assert result["kinds"]["noise"]["not_recognised"] in {0.0, 1.0}
    assert result["kinds"]["jazz"]["sounds"] == 2
    assert "1 clips of music" in capsys.readouterr().out
    with pytest.raises(TrainingError, match="has no familiarity"):
        unfamiliar.run(checkpoint=find_model("cnn"), others=[], **settings)
