"""Every command and program in the documents is tried.

What is quick runs as it stands, and gives what the document shows. Everything else is given to what would take it: a
parser, the Makefile, the project's extras.
"""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

import genre_classifier.cli.arguments
from genre_classifier import __version__
from genre_classifier.beets import PLUGIN_PATH
from serving.settings import ServiceSettings
from tests.support import ROOT
from tests.support.server import Server

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BIN = Path(sys.executable).parent
URL = "http://127.0.0.1:3000"
TOLERANCE = 1e-3  # of a probability, on another processor


class Example(NamedTuple):
    """Something to try."""

    document: str
    text: str
    shown: str | None
    """What the document shows as its output."""


def find_commands():
    """The lines of `console` blocks. In a block with prompts, what follows a command is its output."""
    for document in DOCUMENTS:
        for block in re.findall(r"^```console\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL):
            prompted = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
            for command, shown in prompted or [(line, None) for line in block.splitlines()]:
                yield Example(document.name, re.sub(r"\s+#.*", "", command), shown)


def find_programs():
    """The `python` blocks, each with the `text` block after it, which is its output."""
    for document in DOCUMENTS:
        pattern = r"^```python\n(.*?)^```\n(?:\n^```text\n(.*?)^```)?"
        for program, shown in re.findall(pattern, document.read_text(), re.MULTILINE | re.DOTALL):
            yield Example(document.name, program, shown)


COMMANDS = sorted(set(find_commands()), key=str)
PROGRAMS = list(find_programs())


def first_line(example):
    return f"{example.document}: {example.text.splitlines()[0]}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("bentoml")) as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    """A folder with the sample and the model in artifacts/, to run a command in and to write to."""
    (tmp_path / "artifacts").mkdir()
    shutil.copy(ROOT / "artifacts" / "sample.mp3", tmp_path / "artifacts")
    (tmp_path / "artifacts" / "genre.onnx").symlink_to(ROOT / "artifacts" / "genre.onnx")
    return tmp_path


def run(command, folder):
    """What a command prints in a shell where this environment is active."""
    variables = {"PYTHONPATH": str(ROOT), "GENRE_PROVIDER": "cpu", "PATH": f"{BIN}:/usr/bin:/bin"}
    return subprocess.run(
        command, shell=True, cwd=folder, env=variables, check=True, capture_output=True, text=True
    ).stdout


def run_beets(command, folder):
    """What a command of beets says in a library that has the sample, by the settings that the document shows."""
    manual = (ROOT / "docs" / "command-line.md").read_text()
    (settings,) = re.findall(r"^```yaml\n(.*?)^```", manual, re.MULTILINE | re.DOTALL)
    shown = yaml.safe_load(settings)["pluginpath"][0]
    (folder / "config.yaml").write_text(settings.replace(shown, str(PLUGIN_PATH)))
    at_home = "HOME=$PWD BEETSDIR=$PWD"
    run(f"{at_home} beet import --quiet --noautotag artifacts", folder)
    return run(f"{at_home} {command} 2>&1", folder)


def is_made(words):
    """Targets of the Makefile."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(words) > 1
    assert set(words[1:]) <= set(targets)


def is_parsed(words):
    """Arguments of a module with a parser of its own."""
    name, *arguments = words[words.index("-m") + 1 :]
    module = importlib.import_module(name if name not in {"train", "export", "batch"} else f"{name}.__main__")
    if arguments or hasattr(module, "parse_args"):
        module.parse_args(arguments)


def is_installed(words):
    """Extras of the project, in a clone or in its wheel; or a package that one of them needs."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.fullmatch(r"(.*)\[([\w,]+)\]", words[-1])
    if named:
        assert named[1] in {".", f"dist/genre_classifier-{__version__}-py3-none-any.whl"}
        assert set(named[2].split(",")) <= set(extras)
    else:
        assert any(need.startswith(f"{words[2]}>") for needs in extras.values() for need in needs)
        assert words[3] == "--index-url"


def is_activated(words):
    """The environment that the Makefile makes."""
    assert words[1:] == [".venv/bin/activate"]
    assert "\nVENV ?= .venv\n" in (ROOT / "Makefile").read_text()


def is_packed(words):
    """A bento or an image, which tests/test_bento.py builds and tests/container runs."""
    assert words[1] in {"build", "containerize", "serve"}
    assert all((ROOT / word).is_file() for word in words if word.endswith(".yaml"))


def is_deployed(words):
    """What Docker would run: the settings are those of the service."""
    settings = [word.partition("=")[0] for word in words if word.startswith("GENRE_")]
    assert {name.removeprefix("GENRE_").lower() for name in settings} <= set(ServiceSettings.model_fields)


def is_layered(words):
    """The image with Ray, which tests/container builds."""
    assert words == ["docker", "build", "-t", f"genre_classifier:{__version__}-ray", "."]


def is_there(words):
    """A file or a folder that another program takes; tests/deploy holds against it what they say."""
    assert (ROOT / words[words.index("-f" if "-f" in words else "-k") + 1]).exists()


TAKERS = {
    "make": is_made,
    "python -m train": is_parsed,
    "python -m export": is_parsed,
    "python -m batch": is_parsed,
    "python -m browser.build": is_parsed,
    "python -m benchmarks": is_parsed,
    "torchrun": is_parsed,
    "pip install": is_installed,
    "source": is_activated,
    "bentoml": is_packed,
    "docker run": is_deployed,
    "docker compose": is_there,
    "docker build": is_layered,
    "kubectl": is_there,
}


def same(shown, given):
    """Whether JSON is the same but for the last digits of its numbers."""
    if isinstance(shown, dict):
        return list(shown) == list(given) and all(same(shown[name], given[name]) for name in shown)
    if isinstance(shown, list):
        return len(shown) == len(given) and all(map(same, shown, given))
    return given == (pytest.approx(shown, abs=TOLERANCE) if type(shown) is float else shown)


@pytest.mark.parametrize("example", COMMANDS, ids=first_line)
def test_a_command_is_taken(example, folder, server):
    words = shlex.split(example.text)
    if "=" in words[0]:  # a variable before it
        assert words.pop(0).startswith("GENRE_BENTOFILE=")
    if words[0] == "curl":
        if not shutil.which("curl"):
            pytest.skip("curl is missing")
        given = json.loads(run(example.text.replace("curl", "curl --silent --fail").replace(URL, server.url), folder))
        assert given
        assert example.shown is None or same(json.loads(example.shown), given)
    elif {"--undo", "--similar-to"} & set(words):  # they take what an earlier run wrote, under a name of that day
        genre_classifier.cli.arguments.parse_args(words[1:])
    elif words[0] == "beet":
        said = run_beets(example.text, folder).splitlines()
        assert re.fullmatch(r"genreclassifier: 0 genres (would be )?set, 0 kept, [01] in doubt, 0 failed", said[-1])
    elif example.text.startswith(("genre-classifier", "python -m genre_classifier")):
        given = run(example.text, folder)
        assert given or any(folder.glob("genres.*"))
        assert example.shown in {None, given}
    else:
        assert example.shown is None
        (taker,) = [taker for start, taker in TAKERS.items() if shlex.join(words).startswith(start)]
        taker(words)


@pytest.mark.parametrize("example", PROGRAMS, ids=first_line)
def test_a_program_prints_what_is_shown(example, folder, server):
    command = [sys.executable, "-c", example.text.replace(URL, server.url)]
    given = subprocess.check_output(command, cwd=folder, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert given == example.shown


def test_the_old_command_names_the_new_one():
    command = [sys.executable, "-m", "serving", "--json", "a song.mp3"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == "The command line has moved: genre-classifier --json 'a song.mp3'\n"


def test_what_is_tried_was_found():
    assert len(COMMANDS) > 40
    assert len(PROGRAMS) > 5
    assert all(program.shown for program in PROGRAMS)
    shown = {command.text.split()[0] for command in COMMANDS if command.shown}
    assert shown == {"genre-classifier", "curl"}


def test_a_wrong_answer_is_noticed():
    assert same({"a": [0.5, None, "x"]}, {"a": [0.50001, None, "x"]})
    for other in ({"a": [0.6, None, "x"]}, {"a": [0.5, None, "y"]}, {"a": [0.5, None]}, {"b": [0.5, None, "x"]}):
        assert not same({"a": [0.5, None, "x"]}, other)
