"""Votes, means, ties, silence and trimming, by hand."""

import numpy as np
import pytest
from serving_stand_in import CHUNK, RATE, sound_file, tone

from audio import chunk_starts, cut_chunks
from serving.clip import Clip, SilentClipError
from serving.session import ModelInfo
from serving.verdict import Wish, decide, embed

INFO = ModelInfo(
    labels=("a", "b", "c"), sample_rate=RATE, chunk_samples=CHUNK, version="1", uncertain_below=0.5, provider="P"
)


def clip_of(segments, *, audible=None, samples=None, warning=None):
    starts = [index * CHUNK for index in range(segments)]
    if samples:
        starts[-1] = samples - CHUNK
    return Clip(
        samples=samples or segments * CHUNK,
        starts=starts,
        audible=audible or [True] * segments,
        warning=warning,
    )


def judge(probs, *, clip=None, **wish):
    probs = np.array(probs, dtype=np.float32)
    return decide(clip or clip_of(len(probs)), np.log(probs), INFO, Wish(**wish))


def test_vote_and_mean_differ_where_one_segment_is_very_sure():
    probs = [[0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.01, 0.98, 0.01]]
    vote, mean = judge(probs), judge(probs, aggregate="mean")
    assert (vote.genre, mean.genre) == ("a", "b")
    assert vote.votes == mean.votes == {"a": 2, "b": 1}
    assert list(vote.votes) == ["a", "b"]
    assert vote.confidence == pytest.approx(1.01 / 3, abs=1e-6)
    assert mean.confidence == pytest.approx(1.78 / 3, abs=1e-6)
    assert vote.uncertain
    assert not mean.uncertain
    assert list(vote.probabilities) == ["b", "a", "c"]  # most probable first, whoever wins
    assert sum(vote.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_a_tied_vote_goes_to_the_higher_mean_then_to_label_order():
    assert judge([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]]).genre == "b"
    assert judge([[0.6, 0.3, 0.1], [0.3, 0.6, 0.1]]).genre == "a"
    assert judge([[0.1, 0.3, 0.6], [0.1, 0.6, 0.3]]).genre == "b"
    assert judge([[0.25, 0.375, 0.375]], aggregate="mean").genre == "b"
    assert judge([[0.25, 0.375, 0.375]]).segments[0].genre == "b"


def test_confidence_at_the_threshold_is_certain():
    assert not judge([[0.5, 0.25, 0.25]]).uncertain


def test_silent_segments_are_null_and_count_for_nothing():
    verdict = judge([[0.2, 0.7, 0.1], [0.4, 0.5, 0.1]], clip=clip_of(4, audible=[False, True, False, True]))
    assert [segment.genre for segment in verdict.segments] == [None, "b", None, "b"]
    assert [segment.probabilities is None for segment in verdict.segments] == [True, False, True, False]
    assert verdict.segments[3].probabilities["b"] == pytest.approx(0.5, abs=1e-6)
    assert verdict.votes == {"b": 2}
    assert verdict.confidence == pytest.approx(0.6, abs=1e-6)
    assert verdict.duration == 12.0


def test_the_last_segment_is_aligned_to_the_end():
    segments = judge([[1, 1e-9, 1e-9]] * 2, clip=clip_of(2, samples=CHUNK + 22050)).segments
    assert [(segment.start, segment.end) for segment in segments] == [(0.0, 3.0), (1.0, 4.0)]


@pytest.mark.parametrize(
    ("top_k", "kept"), [(1, ["a"]), (2, ["b", "a"]), (3, ["b", "a", "c"]), (None, ["b", "a", "c"])]
)
def test_top_k_trims_after_the_decision_and_keeps_the_winner(top_k, kept):
    verdict = judge([[0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.01, 0.98, 0.01]], top_k=top_k)
    assert verdict.genre == "a"
    assert list(verdict.probabilities) == kept
    assert [len(segment.probabilities) for segment in verdict.segments] == [len(kept)] * 3
    assert all(segment.genre in segment.probabilities for segment in verdict.segments)
    assert verdict.votes == {"a": 2, "b": 1}


def test_the_answer_is_the_contracts():
    answer = judge([[0.7, 0.2, 0.1]]).model_dump(mode="json")
    assert list(answer) == [
        *("genre", "confidence", "uncertain", "duration", "aggregate", "probabilities", "votes", "segments", "model")
    ]
    assert answer["segments"] == [
        {"start": 0.0, "end": 3.0, "genre": "a", "probabilities": {"a": 0.7, "b": 0.2, "c": 0.1}}
    ]
    assert answer["model"] == {"version": "1", "provider": "P"}


def test_a_warning_is_there_only_where_there_is_one():
    clip = clip_of(1, warning="It breaks off.")
    assert judge([[0.7, 0.2, 0.1]], clip=clip).model_dump()["warning"] == "It breaks off."
    assert embed(clip, np.ones((1, 128), np.float32), INFO).model_dump()["warning"] == "It breaks off."
    assert "warning" not in embed(clip_of(1), np.ones((1, 128), np.float32), INFO).model_dump()


def test_an_embedding_is_the_mean_of_the_segments():
    rows = np.arange(256, dtype=np.float32).reshape(2, 128)
    answer = embed(clip_of(2), rows, INFO)
    assert answer.embedding == [64.0 + i for i in range(128)]
    assert answer.duration == 6.0


def read(path, size=64):
    clip = Clip()
    return clip, list(clip.read(path, max_seconds=60, size=size))


def test_reading_a_clip_leaves_the_silent_chunks_out(tmp_path):
    music, silence = tone(3), np.zeros(CHUNK, np.float32)
    path = tmp_path / "clip.wav"
    path.write_bytes(sound_file(np.concatenate([silence, music, silence + 0.0009]), subtype="FLOAT"))
    clip, (batch,) = read(path)
    assert clip.audible == [False, True, False]
    assert clip.starts == [0, CHUNK, 2 * CHUNK]
    np.testing.assert_array_equal(batch, music[None])
    path.write_bytes(sound_file(silence))
    with pytest.raises(SilentClipError, match="silent"):
        read(path)


@pytest.mark.parametrize("samples", [CHUNK, 8 * CHUNK, 8 * CHUNK + 22049, 8 * CHUNK + 22050, 9 * CHUNK - 1])
@pytest.mark.parametrize("size", [1, 3, 64])
def test_batches_hold_the_chunks_that_audio_cuts(tmp_path, samples, size):
    path = tmp_path / "clip.wav"
    noise = np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)
    path.write_bytes(sound_file(noise, subtype="FLOAT"))
    clip, batches = read(path, size)
    np.testing.assert_array_equal(np.concatenate(batches), cut_chunks(noise))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert clip.starts == chunk_starts(samples)
    assert clip.audible == [True] * len(clip.starts)
    assert clip.duration == samples / RATE


def test_minus_60_dbfs_is_audible(tmp_path):
    path = tmp_path / "quiet.wav"
    path.write_bytes(sound_file(np.full(CHUNK, 0.0010001, np.float32), subtype="FLOAT"))
    assert read(path)[0].audible == [True]
