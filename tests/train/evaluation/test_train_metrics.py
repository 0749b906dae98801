"""Metrics with known values, and against plain arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from train.evaluation.metrics import (
    accuracies,
    compute_metrics,
    fit_temperature,
    log_loss,
    recognised_above,
    reliability,
    uncertain_below,
)
from train.evaluation.plots import plot_all, plot_curve
from train.evaluation.scores import Scores, pool
from train.evaluation.summary import table

LABELS = ["disco", "pop", "rock"]


def scores(chunks, target, labels=LABELS):
    """Scores of clips, each given by the probabilities of its chunks."""
    counts = torch.tensor([len(each) for each in chunks])
    return Scores(
        labels,
        [f"clip {number}" for number in range(len(chunks))],
        torch.tensor(target),
        torch.arange(len(chunks)).repeat_interleave(counts),
        torch.tensor(np.concatenate(chunks), dtype=torch.float32).log(),
    )


def noisy(clips=400, chunks=10, sharpness=1.0, seed=0):
    """Clips whose probabilities are calibrated, and then sharpened."""
    generator = torch.Generator().manual_seed(seed)
    logits = 1.5 * torch.randn(clips, len(LABELS), generator=generator)
    target = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    log_probs = torch.log_softmax(sharpness * logits, dim=1).repeat_interleave(chunks, dim=0)
    names = [str(number) for number in range(clips)]
    return Scores(LABELS, names, target, torch.arange(clips).repeat_interleave(chunks), log_probs)


def test_metrics_of_a_handful_of_clips():
    sure = np.eye(3) * 0.9 + 0.05
    given = scores([sure[[0]], sure[[0]], sure[[0]], sure[[1]], sure[[1]]], [0, 0, 1, 1, 1])
    metrics = compute_metrics(given)
    assert metrics["track_accuracy"] == pytest.approx(4 / 5)
    assert metrics["track_accuracy_macro"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)  # of the genres present
    assert metrics["confusion"] == [[2, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert metrics["pairs"] == {"disco/pop": 1}
    assert metrics["genres"]["pop"] == {"clips": 3, "precision": 1.0, "recall": 0.666667, "f1": 0.8}
    assert "rock" not in metrics["genres"]
    assert metrics["by_seconds"] == {}  # no clip has thirty seconds
    assert "disco/pop 1" in table(metrics, LABELS)


@pytest.mark.parametrize(
    ("clips", "labels", "plain", "macro"), [(29, 3, False, False), (30, 3, True, True), (30, 7, True, False)]
)
def test_there_is_no_interval_of_too_few_clips(clips, labels, plain, macro):
    """With 29 clips none at all; with fewer than five a genre none of the average over genres."""
    names = [f"genre {number}" for number in range(labels)]
    right = np.eye(labels) * 0.5 + 0.5 / labels
    target = [clip % labels for clip in range(clips)]
    given = scores([right[[each]] for each in target], target, names)
    metrics = compute_metrics(given)
    assert (metrics["track_accuracy_interval"] is not None) == plain
    assert (metrics["track_accuracy_macro_interval"] is not None) == macro
    assert table(metrics, names).count("[") == 2 * (plain + macro)


def test_ninety_five_per_cent_are_recognised():
    given = noisy(clips=400, chunks=2)
    assert recognised_above(given) is None
    assert "recognised" not in compute_metrics(given, 0.0)
    familiarity = torch.arange(400.0).repeat_interleave(2) + torch.tensor([-3.0, 3.0]).repeat(400)
    given = replace(given, chunk_familiarity=familiarity)
    assert torch.equal(given.familiarity, torch.arange(400.0).double())  # of a clip: the mean over its chunks
    threshold = recognised_above(given)
    metrics = compute_metrics(given, threshold)
    assert metrics["recognised"] == 0.95
    assert "95.0% of the clips" in table(metrics, LABELS)
    assert torch.equal(pool([given, given]).familiarity, given.familiarity.repeat(2))
    assert pool([given, replace(given, chunk_familiarity=None)]).familiarity is None


def test_intervals_are_those_of_the_binomial():
    metrics = compute_metrics(noisy(clips=1000))
    low, high = metrics["track_accuracy_interval"]
    share = metrics["track_accuracy"]
    spread = 1.96 * np.sqrt(share * (1 - share) / 1000)
    assert low == pytest.approx(share - spread, abs=0.004)
    assert high == pytest.approx(share + spread, abs=0.004)
    assert compute_metrics(noisy(clips=1000)) == metrics


def test_macro_average_weighs_genres_alike():
    right = torch.tensor([[True] * 8 + [False, True]])
    target = torch.tensor([[0] * 8 + [1, 1]])
    micro, macro = accuracies(right, target, 3)
    assert (float(micro[0]), float(macro[0])) == (0.9, 0.75)


def test_temperature_is_found_again():
    assert fit_temperature(noisy(clips=4000, chunks=1, sharpness=2.0)) == pytest.approx(2.0, rel=0.1)
    assert fit_temperature(noisy(clips=4000, chunks=1, sharpness=0.5)) == pytest.approx(0.5, rel=0.1)
    right = scores([np.eye(3)[[0]] * 0.4 + 0.2], [0])
    assert fit_temperature(right) == 1  # no clip is wrong, so the lowest temperature would always win
    sharp = noisy(sharpness=3.0)
    mild = sharp.tempered(fit_temperature(sharp))
    assert log_loss(mild) < log_loss(sharp)
    assert compute_metrics(mild)["calibration_error"] < compute_metrics(sharp)["calibration_error"]
    assert mild.genre().tolist() == sharp.genre().tolist()


def test_calibrated_scores_lie_on_the_diagonal():
    for confidence, right, count in reliability(noisy(clips=20000, chunks=1)):
        assert right == pytest.approx(confidence, abs=0.02 + 2 / np.sqrt(count))


def test_uncertain_below_is_the_lowest_that_keeps_four_of_five_right():
    probabilities = [[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.7, 0.3, 0.0], [0.6, 0.4, 0.0], [0.55, 0.45, 0.0]]
    chunks = [np.clip([each], 1e-9, 1) for each in probabilities]
    assert uncertain_below(scores(chunks, [0, 0, 0, 1, 0])) == pytest.approx(0.55, abs=1e-5)  # four of five
    assert uncertain_below(scores(chunks, [0, 0, 0, 1, 1])) == pytest.approx(0.7, abs=1e-5)
    assert uncertain_below(scores(chunks, [1, 1, 1, 1, 1])) == 1.0
    equal = scores([chunks[0], chunks[1], chunks[1], chunks[1]], [0, 0, 1, 1])
    assert uncertain_below(equal) == pytest.approx(0.9, abs=1e-5)  # the three of 0.8 are not all right


def test_longer_excerpts_are_more_reliable():
    """Chunks of 30-second clips are wrong independently, so longer excerpts outvote them."""
    generator = torch.Generator().manual_seed(1)
    target = torch.arange(300) % 3
    wrong = torch.rand(300, 10, generator=generator) < 0.4
    answered = torch.where(wrong, (target[:, None] + 1) % 3, target[:, None]).flatten()
    log_probs = torch.log(torch.nn.functional.one_hot(answered, 3) * 0.9 + 1 / 30)
    given = Scores(LABELS, ["x"] * 300, target, torch.arange(300).repeat_interleave(10), log_probs)
    accuracy = compute_metrics(given)["by_seconds"]
    assert list(accuracy) == ["3", "6", "12", "30"]
    assert accuracy["3"] == pytest.approx(0.6, abs=0.03)
    assert accuracy["30"] > accuracy["12"] > accuracy["3"]
    short = scores([np.ones((3, 3)) / 3], [0])
    assert compute_metrics(pool([short, given]))["by_seconds"] == accuracy  # a clip without ten chunks does not count


def test_plots(tmp_path):
    given = noisy(clips=50)
    plot_all(compute_metrics(given), given, tmp_path)
    epoch = {"epoch": 1, "train_loss": 1.0, "valid_loss": 1.2, "train_accuracy": 0.5, "valid_track_accuracy_macro": 0.4}
    plot_curve([epoch, epoch | {"epoch": 2}], tmp_path / "curve.png")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"confusion.png", "reliability.png", "seconds.png", "curve.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
