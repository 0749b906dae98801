"""The rules of a verdict in JavaScript, against the table of cases that Python's are tested against."""

import pytest

from genre_classifier.verdict import ClassifyOptions
from tests.support.cases import NAMES, VERDICTS, check_case
from tests.support.node import needs_node, run_node

pytestmark = needs_node

DECIDE = """
import { chunkStarts } from "./chunks.js";
import { decide } from "./verdict.js";
const answers = given.map((each) => {
  const audible = each.audible ?? chunkStarts(each.samples).map(() => true);
  const clip = { samples: each.samples, audible, warning: each.warning ?? null };
  const rows = (values) => values?.map((row) => Float32Array.from(row));
  const outputs = {
    log_probs: rows(each.probabilities.map((row) => row.map(Math.log))),
    tags: rows(each.tag_probabilities),
    familiarity: each.familiarity,
  };
  try {
    return decide(clip, outputs, { version: "1", provider: "P", ...each }, each);
  } catch (error) {
    return { error: error.message };
  }
});
console.log(JSON.stringify(answers));
"""
CASE = {"labels": ["a", "b"], "uncertain_below": 0.5, "samples": 66150, "probabilities": [[0.75, 0.25]]}


@pytest.fixture(scope="module")
def answers():
    return dict(zip(NAMES, run_node(DECIDE, VERDICTS), strict=True))


@pytest.mark.parametrize("case", VERDICTS, ids=NAMES)
def test_a_rule(case, answers):
    check_case(case, answers[case["name"]])


def test_the_answer_is_the_contracts():
    more = {"recognised_above": 0.0, "familiarity": [1.0], "tags": ["x"], "tag_probabilities": [[0.5]]}
    plain, full, warned = run_node(DECIDE, [CASE, CASE | more, CASE | {"warning": "It breaks off."}])
    assert list(plain) == [
        *("genre", "confidence", "uncertain", "duration", "aggregate", "probabilities", "votes", "segments", "model")
    ]
    assert plain["model"] == {"version": "1", "provider": "P"}
    assert set(full) == {*plain, "recognised", "tags"}
    assert warned == {**plain, "warning": "It breaks off."}


@pytest.mark.parametrize("options", [{"top_k": 0}, {"top_k": 3}, {"top_k": 1.5}, {"aggregate": "median"}])
def test_options_that_do_not_fit_are_refused_as_in_python(options):
    with pytest.raises(ValueError, match="must be") as refused:
        ClassifyOptions(**options).check(2)
    assert run_node(DECIDE, [CASE | options]) == [{"error": str(refused.value)}]
