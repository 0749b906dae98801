"""A teacher's soft targets, with music without labels beside the clips."""

import shutil

import numpy as np
import pytest
import soundfile
import torch

from genre_classifier.audio import SAMPLE_RATE
from tests.train.conftest import waveform
from train.data.chunks import UNLABELLED, Chunks
from train.data.clips import decode_clips, find_clips
from train.data.inputs import Inputs
from train.data.splits import read_split
from train.network.checkpoint import load_checkpoint
from train.teacher import LABEL_SHARE, Teacher, decode_unlabelled


@pytest.fixture(scope="module")
def unlabelled(folder, tmp_path_factory):
    """Three pieces in a folder and below, one of them twice, and a labelled clip once more."""
    root = tmp_path_factory.mktemp("unlabelled")
    (root / "more").mkdir()
    rng = np.random.default_rng(1)
    for number, genre in enumerate(("beeps", "chords", "hiss")):
        soundfile.write(root / "more" / f"{number}.wav", waveform(genre, rng, 6.5), SAMPLE_RATE)
    shutil.copy(root / "more" / "1.wav", root / "twice.wav")
    shutil.copy(folder / "chords" / "chords.00009.wav", root / "known.wav")
    return root


def test_a_recording_is_there_once(unlabelled, folder):
    clips, waveforms = decode_clips(find_clips(folder))
    more = decode_unlabelled(unlabelled, waveforms)
    assert {clip.name for clip in more.clips} & {"known.wav"} == set()
    assert sorted(clip.name for clip in more.clips) in (
        ["more/0.wav", "more/1.wav", "more/2.wav"],
        ["more/0.wav", "more/2.wav", "twice.wav"],
    )
    assert {clip.genre for clip in more.clips} == {""}
    assert len(clips) == 30


def test_targets_are_the_labels_and_what_the_teacher_hears(unlabelled, folder, genres):
    clips, waveforms = decode_clips(find_clips(folder))
    more = decode_unlabelled(unlabelled, waveforms)
    chunks = Chunks([*clips, *more.clips], [*waveforms, *more.waveforms], genres)
    split = read_split(folder / "split.csv")
    inputs = Inputs(chunks, torch.arange(len(chunks))[:, None].float())
    teacher = Teacher("transfer", chunks, torch.device("cpu"))
    taught = teacher.teach(inputs, split)

    trains = split.mask(chunks, "train")
    assert taught.prepared[:, 0].long().tolist() == (trains | (chunks.target == UNLABELLED)).nonzero()[:, 0].tolist()
    assert torch.allclose(taught.soft_target.sum(dim=1), torch.ones(len(taught.chunks)))
    known = trains[taught.prepared[:, 0].long()]
    of_label = taught.soft_target[known].gather(1, chunks.target[trains][:, None])
    assert (of_label >= LABEL_SHARE).all()
    assert (of_label < 1).any()
    # A piece without a label counts as the genre that the teacher hears; here the teacher is right.
    heard = [genres[index] for index in taught.chunks.target[~known].tolist()]
    assert heard == ["beeps"] * 2 + ["chords"] * 2 + ["hiss"] * 2
    assert torch.equal(taught.chunks.target[known], chunks.target[trains])

    # The labels of the other parts do not reach it.
    hidden = chunks.relabelled(torch.where(trains | (chunks.target == UNLABELLED), chunks.target, 0))
    again = teacher.teach(Inputs(hidden, inputs.prepared), split)
    assert torch.equal(again.soft_target, taught.soft_target)


def test_a_pupil_from_the_command_line(train, folder, unlabelled, tmp_path):
    words = ("--data", folder, "--split", folder / "split.csv", "--unlabelled", unlabelled, "--output", tmp_path)
    recipe = ("--teacher", "transfer", "--epochs", 3, "--batch", 8, "--cache", 1, "--recalibrate", "--refit")
    ended = train(*words, *recipe)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("left out:") == 2
    assert "train: 18 clips, 33 chunks" in ended.stdout
    checkpoint = load_checkpoint(tmp_path / "best.ckpt")
    assert checkpoint.config["teacher"] == "transfer"
    assert checkpoint.trained_on.startswith("24 clips of")
    assert checkpoint.trained_on.endswith(", and 3 without labels")
    assert checkpoint.metrics["train"]["tracks"] == 21
    assert checkpoint.metrics["test"]["track_accuracy"] > 0.5
    refused = train(*words[:4], "--output", tmp_path, *recipe, "--resume")
    assert refused.returncode == 2
    assert "trained on other clips" in refused.stderr
