"""Folders of clips, and the chunks of their waveforms."""

import numpy as np
import pytest
import soundfile

from genre_classifier.audio import SAMPLE_RATE
from genre_classifier.audio.suffixes import AUDIO_SUFFIXES
from train.data.chunks import Chunks
from train.data.clips import decode_clips, find_clips, scan
from train.errors import TrainingError


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_names_are_as_short_as_they_can_be(tmp_path):
    """The file's name, as GTZAN's splits have it; the path where two clips share it, in one genre or in two."""
    touch(tmp_path, "blues/blues.00000.au", "a/one.wav", "b/one.mp3", "a/artist/two.wav", "a/artist/two.flac")
    assert [(clip.name, clip.genre, clip.folder) for clip in find_clips(tmp_path)] == [
        ("a/artist/two.flac", "a", "artist"),
        ("a/artist/two.wav", "a", "artist"),
        ("a/one", "a", ""),
        ("b/one", "b", ""),
        ("blues.00000", "blues", ""),
    ]


def test_folders_within_folders_are_searched(tmp_path):
    touch(tmp_path, "a/artist/album/1.mp3", "a/artist/2.mp3", "a/.trash/3.mp3", "a/._4.mp3", "loose.mp3", "a/cover.jpg")
    (tmp_path / "a" / "artist" / "back").symlink_to(tmp_path / "a")
    (tmp_path / "b").symlink_to(tmp_path / "a" / "artist" / "album")
    clips, others = scan(tmp_path)
    assert [(clip.genre, clip.folder) for clip in clips] == [("a", "artist"), ("a", "artist"), ("b", "")]
    assert [path.name for path in others] == ["cover.jpg", "loose.mp3"]


def test_chunks_are_random_access(folder, genres):
    clips, waveforms = decode_clips(clip for clip in find_clips(folder) if clip.name.endswith(("00000", "00001")))
    chunks = Chunks(clips, waveforms, genres)
    # 2 s fill one chunk; 6.5 s contain two, and the last half second is too short for a third.
    assert chunks.clip.tolist() == [0, 1, 1, 2, 3, 3, 4, 5, 5]
    assert chunks.scored.tolist() == [False, True, True] * 3
    excerpt, label = chunks[0]
    assert label == 0
    assert np.array_equal(excerpt[44100:], excerpt[: 66150 - 44100])  # repeated, not padded
    assert np.array_equal(chunks[2][0], waveforms[1][66150 : 2 * 66150])


def test_all_suffixes_of_the_library_are_clips(tmp_path):
    (tmp_path / "a").mkdir()
    for number, suffix in enumerate([*AUDIO_SUFFIXES, ".MP3", ".txt"]):
        (tmp_path / "a" / f"{number}{suffix}").touch()
    assert {clip.path.suffix.lower() for clip in find_clips(tmp_path)} == AUDIO_SUFFIXES
    assert len(find_clips(tmp_path)) == len(AUDIO_SUFFIXES) + 1


def test_a_folder_without_clips_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").touch()
    with pytest.raises(TrainingError, match="holds no clips"):
        find_clips(tmp_path)


def test_silence_is_left_out(tmp_path, capsys):
    """Of a clip with a silent middle its audible chunks; of silent and of empty clips nothing."""
    (tmp_path / "a").mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal(9 * SAMPLE_RATE)
    noise[3 * SAMPLE_RATE : 6 * SAMPLE_RATE] *= 1e-3
    for name, waveform in (("music", noise), ("silent", np.zeros(SAMPLE_RATE)), ("empty", np.zeros(0))):
        soundfile.write(tmp_path / "a" / f"{name}.wav", waveform, SAMPLE_RATE)
    clips, waveforms = decode_clips(find_clips(tmp_path))
    assert [clip.name for clip in clips] == ["music"]
    said = capsys.readouterr().err
    assert "silent.wav: The file is silent" in said
    assert "2 of 3 clips are skipped" in said
    chunks = Chunks(clips, waveforms, ["a"])
    assert chunks.number.tolist() == [0, 2]
    assert [start for _, start in chunks.positions] == [0, 6 * SAMPLE_RATE]
