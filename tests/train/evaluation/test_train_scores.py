"""A clip's genre from its chunks, by the rules that all implementations share."""

import pytest
import torch

from tests.support.cases import VERDICTS
from train.evaluation.scores import Scores, pool


def scores_of(labels, *clips):
    """Scores of clips, each given by the probabilities of its chunks."""
    counts = torch.tensor([len(chunks) for chunks in clips])
    log_probs = torch.cat([torch.tensor(chunks) for chunks in clips]).log()
    names = [f"clip {number}" for number in range(len(clips))]
    target = torch.zeros(len(clips), dtype=torch.int64)
    return Scores(labels, names, target, torch.arange(len(clips)).repeat_interleave(counts), log_probs)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in VERDICTS])
def test_a_verdict_of_training_is_that_of_the_classifier(case):
    labels, expected = case["labels"], case["expected"]
    uniform = [[1 / len(labels)] * len(labels)]
    # With other clips around it: no clip affects another.
    scores = scores_of(labels, uniform, case["probabilities"], uniform)
    genre = int(scores.genre(case.get("aggregate", "vote"))[1])
    assert labels[genre] == expected["genre"]
    if "votes" in expected:
        votes = {label: count for label, count in zip(labels, scores.votes[1].tolist(), strict=True) if count}
        assert votes == dict(expected["votes"])
    if "confidence" in expected:
        confidence = float(scores.mean[1, genre])
        assert confidence == pytest.approx(expected["confidence"], abs=1e-6)
        if case.get("aggregate", "vote") == "vote":
            assert float(scores.confidence[1]) == confidence
    for label, probability in expected.get("probabilities", []):
        assert float(scores.mean[1, labels.index(label)]) == pytest.approx(probability, abs=1e-6)


def test_pooled_scores_are_those_of_all_clips():
    generator = torch.Generator().manual_seed(0)
    parts = [
        scores_of(["a", "b"], *torch.rand(20, 3, 2, generator=generator).softmax(dim=2).tolist()) for _ in range(3)
    ]
    together = pool(parts)
    assert torch.equal(together.genre(), torch.cat([part.genre() for part in parts]))
    assert torch.allclose(together.mean, torch.cat([part.mean for part in parts]))


def test_excerpts_are_all_runs_of_successive_chunks():
    scores = scores_of(["a", "b"], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], [[0.6, 0.4]], [[0.5, 0.5], [0.1, 0.9]])
    excerpts, clips = scores.excerpts(2)
    assert clips.tolist() == [0, 0, 2]
    assert excerpts.names == ["clip 0", "clip 0", "clip 2"]
    expected = torch.tensor([[0.55, 0.45], [0.25, 0.75], [0.3, 0.7]], dtype=torch.float64)
    assert torch.allclose(excerpts.mean, expected)
