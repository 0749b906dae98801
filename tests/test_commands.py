"""Every command in the documents is tried: run as it stands where that is quick, else given to what would take it."""

import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks.server import Server
from serving.settings import Settings

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BIN = Path(sys.executable).parent
URL = "http://127.0.0.1:3000"


def blocks(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


def commands():
    """(document, command), less prompts and comments; in a block with prompts, the other lines are what comes out."""
    for document in DOCUMENTS:
        for block in blocks(document, "console"):
            lines = block.splitlines()
            if any(line.startswith("$ ") for line in lines):
                lines = [line[2:] for line in lines if line.startswith("$ ")]
            yield from ((document.name, re.sub(r"\s+#.*", "", line)) for line in lines)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("bentoml")) as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    """Somewhere to run a command that names what is in artifacts/ and writes beside it."""
    (tmp_path / "artifacts").mkdir()
    shutil.copy(ROOT / "artifacts" / "sample.mp3", tmp_path / "artifacts")
    return tmp_path


def run(command, folder):
    # As a shell of a fresh clone would, with the interpreter of this one.
    shell = command.replace(".venv/bin/", f"{shlex.quote(str(BIN))}/")
    environment = {"PYTHONPATH": str(ROOT), "GENRE_PROVIDER": "cpu", "PATH": f"{BIN}:/usr/bin:/bin"}
    return subprocess.run(
        shell, shell=True, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout


def is_made(words):
    """A target of the Makefile."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(words[1:]) <= set(targets)


def is_parsed(words):
    """Arguments of a module with a parser of its own."""
    module = importlib.import_module(words[2] if words[2] not in {"train", "export"} else f"{words[2]}.__main__")
    if len(words) > 3 or hasattr(module, "parse_args"):
        module.parse_args(words[3:])


def is_installed(words):
    """Extras of the project."""
    (extra,) = re.findall(r"\.\[(\w+)\]", words[-1])
    assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert (ROOT / words[words.index("-c") + 1]).is_file()


def is_packed(words):
    """A bento or an image, which tests/test_bento.py builds and tests/container runs."""
    assert words[1] in {"build", "containerize", "serve"}
    for word in words[2:]:
        if word.endswith(".yaml"):
            assert (ROOT / word).is_file()
        if word.startswith("serving."):
            module, name = word.split(":")
            assert f"class {name}" in (ROOT / f"{module.replace('.', '/')}.py").read_text()


def is_deployed(words):
    """What an engine would run, which is not here: its settings are those of the service."""
    settings = [word.partition("=")[0] for word in words if word.startswith("GENRE_")]
    assert {name.removeprefix("GENRE_").lower() for name in settings} <= set(Settings.model_fields)


TAKERS = {
    "make": is_made,
    ".venv/bin/python -m train": is_parsed,
    ".venv/bin/python -m export": is_parsed,
    ".venv/bin/python -m benchmarks": is_parsed,
    ".venv/bin/pip install": is_installed,
    ".venv/bin/bentoml": is_packed,
    "bentoml": is_packed,
    "docker run": is_deployed,
}


@pytest.mark.parametrize(("document", "command"), sorted(set(commands())))
def test_a_command_is_taken(document, command, folder, server):
    words = shlex.split(command)
    if "=" in words[0]:  # a variable before it
        assert words.pop(0).startswith("GENRE_BENTOFILE=")
    if words[0] == "curl":
        if not shutil.which("curl"):
            pytest.skip("curl is missing")
        assert json.loads(run(command.replace("curl", "curl --silent --fail").replace(URL, server.url), folder))
    elif command.startswith((".venv/bin/genre-classifier", ".venv/bin/python -m serving")):
        out = run(command, folder)
        assert out or any(folder.glob("genres.*"))
    else:
        (taker,) = [taker for start, taker in TAKERS.items() if shlex.join(words).startswith(start)]
        taker(words)


@pytest.mark.parametrize(
    ("document", "program"), [(document.name, block) for document in DOCUMENTS for block in blocks(document, "python")]
)
def test_a_program_runs(document, program, folder, server):
    command = [sys.executable, "-c", program.replace(URL, server.url)]
    assert subprocess.check_output(command, cwd=folder, text=True).strip() == "jazz"


def test_links_lead_somewhere():
    for document in [*DOCUMENTS, ROOT / "CHANGELOG.md", *(ROOT / "artifacts").glob("*.md")]:
        text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", text):
            target = "".join(link).partition("#")[0]
            assert target.startswith("http") or (document.parent / target).exists(), (document.name, target)
