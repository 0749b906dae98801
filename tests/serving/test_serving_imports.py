"""Serving needs neither torch nor librosa: a process that has classified has loaded none of them."""

import os
import re
import subprocess
import sys

from tests.support import ROOT
from tests.support.audio import encode, tone

HEAVY = {"torch", "librosa", "numba", "scipy", "sklearn", "matplotlib", "train", "export", "onnx"}

PROGRAM = """
import sys
import serving.service
from genre_classifier.cli.main import parse_args, run
assert run(parse_args(["--json", sys.argv[1]])) == 0
print(",".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_neither_torch_nor_librosa_is_loaded(tmp_path, served_model):
    song = tmp_path / "song.wav"
    song.write_bytes(encode(tone(4)))
    environment = {
        **os.environ,
        "GENRE_MODEL": str(served_model),
        "GENRE_PROVIDER": "cpu",
        "BENTOML_HOME": str(tmp_path),
    }
    command = [sys.executable, "-c", PROGRAM, str(song)]
    output = subprocess.check_output(command, cwd=ROOT, env=environment, text=True).splitlines()
    assert '"genre"' in output[0]
    loaded = set(output[-1].split(","))
    assert {"bentoml", "onnxruntime", "serving", "genre_classifier"} <= loaded
    assert not loaded & HEAVY


def test_nor_does_a_line_import_them():
    lines = [line for file in (ROOT / "serving").rglob("*.py") for line in file.read_text().splitlines()]
    assert lines
    assert not [line for line in lines if re.match(r"\s*(import|from) (torch|librosa|train|export)\b", line)]
