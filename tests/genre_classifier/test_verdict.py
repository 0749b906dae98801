"""The rules of a verdict, against the table of cases; and the shape of the answers."""

import numpy as np
import pytest

from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE, chunk_starts
from genre_classifier.clip import Clip
from genre_classifier.outputs import Outputs
from genre_classifier.session import ModelInfo
from genre_classifier.verdict import ClassifyOptions, decide, embed, rank_genres
from tests.support.cases import NAMES, VERDICTS, check_case


def info_of(case):
    return ModelInfo(
        labels=case["labels"],
        tags=case.get("tags", ()),
        sample_rate=SAMPLE_RATE,
        chunk_samples=CHUNK_SAMPLES,
        version="1",
        uncertain_below=case["uncertain_below"],
        recognised_above=case.get("recognised_above"),
        provider="P",
    )


def decided(case):
    count = len(chunk_starts(case["samples"]))
    clip = Clip(samples=case["samples"], audible=case.get("audible", [True] * count))
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.array(case["probabilities"])).astype(np.float32)
    outputs = Outputs(
        log_probs,
        np.ones((len(log_probs), 4), np.float32),
        np.array(case["tag_probabilities"], np.float32) if "tag_probabilities" in case else None,
        np.array(case["familiarity"], np.float32) if "familiarity" in case else None,
    )
    options = ClassifyOptions(case.get("top_k"), case.get("aggregate", "vote"))
    return decide(clip, outputs, info_of(case), options).model_dump(mode="json")


@pytest.mark.parametrize("case", VERDICTS, ids=NAMES)
def test_a_rule(case):
    check_case(case, decided(case))


def test_genres_are_ranked_along_the_last_axis():
    votes = np.array([[2, 1, 0], [1, 1, 1]])
    mean = np.array([[0.2, 0.5, 0.3], [0.3, 0.3, 0.4]])
    assert rank_genres(votes, mean).tolist() == [[0, 1, 2], [2, 0, 1]]
    assert rank_genres(votes, mean, "mean").tolist() == [[1, 2, 0], [2, 0, 1]]


def test_the_answer_is_the_contracts():
    case = {"labels": ["a", "b"], "uncertain_below": 0.5, "samples": CHUNK_SAMPLES, "probabilities": [[0.75, 0.25]]}
    answer = decided(case)
    assert list(answer) == [
        *("genre", "confidence", "uncertain", "duration", "aggregate", "probabilities", "votes", "segments", "model")
    ]
    assert answer["model"] == {"version": "1", "provider": "P"}
    more = {"recognised_above": 0.0, "familiarity": [1.0], "tags": ["x"], "tag_probabilities": [[0.5]]}
    assert set(decided(case | more)) == {*answer, "recognised", "tags"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (ClassifyOptions(top_k=0), "top_k must be a whole number from 1 to 2."),
        (ClassifyOptions(top_k=3), "top_k must be a whole number from 1 to 2."),
        (ClassifyOptions(top_k=True), "top_k must be a whole number from 1 to 2."),
        (ClassifyOptions(top_k=1.0), "top_k must be a whole number from 1 to 2."),
        (ClassifyOptions(aggregate="median"), "aggregate must be vote or mean."),
    ],
)
def test_options_that_do_not_fit_are_refused(options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        options.check(2)


def test_a_warning_is_there_only_where_there_is_one():
    info = info_of({"labels": ["a", "b"], "uncertain_below": 0.5})
    outputs = Outputs(np.log(np.array([[0.75, 0.25]], np.float32)), np.ones((1, 4), np.float32))
    for warning, names in ((None, set()), ("It breaks off.", {"warning"})):
        clip = Clip(samples=CHUNK_SAMPLES, audible=[True], warning=warning)
        answers = [decide(clip, outputs, info, ClassifyOptions()), embed(clip, outputs, info)]
        for answer in answers:
            assert set(answer.model_dump()) & {"warning"} == names
            assert answer.warning == warning


def test_an_embedding_is_the_mean_of_the_audible_chunks():
    info = info_of({"labels": ["a", "b"], "uncertain_below": 0.5})
    rows = np.arange(256, dtype=np.float32).reshape(2, 128)
    clip = Clip(samples=2 * CHUNK_SAMPLES, audible=[True, True])
    answer = embed(clip, Outputs(np.zeros((2, 2), np.float32), rows), info)
    assert answer.embedding == [64.0 + i for i in range(128)]
    assert answer.duration == 6.0
