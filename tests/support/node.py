"""The browser's modules in Node.js, where they need no browser."""

import json
import shutil
import subprocess

import pytest

from tests.support import ROOT

NODE = shutil.which("node")
CLASSIFIER = ROOT / "browser" / "classifier"

needs_node = pytest.mark.skipif(NODE is None, reason="no node: apt-get install nodejs")


def run_node(program, given=None):
    """What a module prints as JSON; it imports from the folder of the classifier, and `given` is there as JSON."""
    source = f'import {{ readFileSync }} from "node:fs";\nconst given = JSON.parse(readFileSync(0));\n{program}'
    ended = subprocess.run(
        [NODE, "--input-type=module", "--eval", source],
        cwd=CLASSIFIER,
        input=json.dumps(given),
        env={"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)
