"""Batch needs the library alone, and Ray only where it is asked for."""

import re
import subprocess
import sys

from tests.support import ROOT

PROGRAM = "import sys, batch.job; print(*{name.partition('.')[0] for name in sys.modules})"


def test_it_imports_the_library_alone():
    lines = [line for file in (ROOT / "batch").glob("*.py") for line in file.read_text().splitlines()]
    assert lines
    assert not [line for line in lines if re.match(r"\s*(import|from) (serving|train|export|torch|bentoml)\b", line)]


def test_neither_ray_nor_training_is_loaded():
    loaded = set(subprocess.check_output([sys.executable, "-c", PROGRAM], cwd=ROOT, text=True).split())
    assert {"batch", "genre_classifier", "pyarrow"} <= loaded
    assert not loaded & {"ray", "torch", "librosa", "bentoml", "matplotlib"}
