"""The rules of a verdict as cases; tests/cases/README.md describes them."""

import json

import pytest

from tests.support import ROOT

VERDICTS = json.loads((ROOT / "tests" / "cases" / "verdicts.json").read_text())
NAMES = [case["name"] for case in VERDICTS]
PAIRS = {"probabilities", "votes", "tags"}


def check_case(case, answer):
    """The answer is what the case expects."""
    for name, expected in case["expected"].items():
        if name in PAIRS:
            _check_pairs(answer[name], expected)
        elif name == "segments":
            assert [{**each, "probabilities": 0} for each in answer[name]] == [
                {**each, "probabilities": 0} for each in expected
            ]
            for given, wanted in zip(answer[name], expected, strict=True):
                _check_pairs(given["probabilities"], wanted["probabilities"])
        elif name in {"confidence", "duration"}:
            assert answer[name] == pytest.approx(expected, abs=2e-6)
        else:
            assert answer[name] == expected
    assert ("recognised" in answer) == ("recognised_above" in case)
    assert ("tags" in answer) == ("tags" in case)


def _check_pairs(given, expected):
    if expected is None:
        assert given is None
    else:
        assert list(given) == [name for name, _ in expected]
        assert list(given.values()) == pytest.approx([value for _, value in expected], abs=2e-6)
