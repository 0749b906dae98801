"""The rules of a verdict as cases; tests/cases/README.md describes them."""

import json

from tests.support import ROOT

VERDICTS = json.loads((ROOT / "tests" / "cases" / "verdicts.json").read_text())
NAMES = [case["name"] for case in VERDICTS]
