"""The command line: files and folders, forms of output, exit codes."""

import csv
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from serving_stand_in import ROOT, sound_file, tone


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.wav").write_bytes(sound_file(tone(4)))
    (folder / "deep" / "b.FLAC").write_bytes(sound_file(tone(4, 110), format="FLAC"))
    (folder / "deep" / "notes.txt").write_text("not looked at")
    return folder


@pytest.fixture
def serving(served_model):
    def run(*arguments, status=0):
        environment = {**os.environ, "GENRE_MODEL": str(served_model), "GENRE_PROVIDER": "cpu"}
        command = [sys.executable, "-m", "serving", *map(str, arguments)]
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == status, result.stderr
        return result

    return run


def test_help_imports_nothing_heavy(serving):
    assert "--skip-existing" in serving("--help").stdout
    program = "import sys, serving.__main__; print(*{'numpy', 'onnxruntime', 'pydantic', 'bentoml'} & set(sys.modules))"
    assert not subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).strip()


def test_a_table_of_a_folder(serving, music):
    lines = serving(music).stdout.splitlines()
    assert lines[0].split() == ["genre", "sure", "length", "file"]
    assert [line.split()[-1] for line in lines[1:]] == [str(music / "a.wav"), str(music / "deep" / "b.FLAC")]
    assert "0:04" in lines[1]


def test_a_file_may_be_longer_than_a_service_takes(serving, tmp_path, monkeypatch):
    path = tmp_path / "mix.wav"
    path.write_bytes(sound_file(np.tile(tone(3), 421)))  # 21 minutes and 3 seconds
    assert json.loads(serving("--json", path).stdout)["duration"] == 1263
    monkeypatch.setenv("GENRE_MAX_SECONDS", "1200")
    assert "longer than the limit" in serving(path, status=1).stderr


def test_files_are_answered_in_order_whichever_is_done_first(serving, tmp_path):
    for number in range(12):
        seconds = 3 if number % 4 else 60
        (tmp_path / f"{number:02}.wav").write_bytes(sound_file(np.tile(tone(3), seconds // 3)))
    lines = serving("--json", tmp_path).stdout.splitlines()
    assert [json.loads(line)["file"] for line in lines] == [str(tmp_path / f"{n:02}.wav") for n in range(12)]


def test_json_is_what_the_service_answers(serving, music, client):
    result = serving("--json", "--top-k", "2", music / "a.wav")
    assert result.stderr == ""
    answer = json.loads(result.stdout)
    assert answer.pop("file") == str(music / "a.wav")
    files = {"audio": (music / "a.wav").read_bytes()}
    assert answer == client.post("/classify", files=files, data={"top_k": "2"}).json()


def test_csv_has_a_column_for_each_label(serving, music, client):
    rows = list(csv.DictReader(serving("--csv", music).stdout.splitlines()))
    assert [row["file"] for row in rows] == [str(music / "a.wav"), str(music / "deep" / "b.FLAC")]
    labels = client.get("/model").json()["labels"]
    assert sum(float(rows[0][label]) for label in labels) == pytest.approx(1, abs=1e-4)


def test_bad_files_are_reported_and_the_rest_go_on(serving, music):
    (music / "bad.mp3").write_bytes(b"no music")
    result = serving("--json", music, music / "nothing.wav", status=1)
    assert len(result.stdout.splitlines()) == 2
    assert f"{music / 'bad.mp3'}: " in result.stderr
    assert f"{music / 'nothing.wav'}: " in result.stderr
    assert result.stderr.endswith("2 of 4 files could not be judged.\n")


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_skip_existing_goes_on_where_it_was_interrupted(serving, music, tmp_path, form):
    output = tmp_path / "answers"
    serving(form, "--output", output, music)
    whole = output.read_text()
    output.write_text(whole[:-20])  # interrupted in the last line
    assert serving(form, "--output", output, "--skip-existing", music).stdout == ""
    assert output.read_text() == whole
    serving(form, "--output", output, "--skip-existing", music)
    assert output.read_text() == whole


@pytest.mark.parametrize("form", ["--json", "--csv"])
@pytest.mark.parametrize("content", ["a letter", "two\n\nlines\n", '["report"]\n', "a,b\n1,2\n", "\udcff\udcfe\n"])
def test_a_file_that_is_no_report_is_left_as_it_is(serving, music, tmp_path, form, content):
    output = tmp_path / "letter.txt"
    output.write_text(content, errors="surrogateescape")
    result = serving(form, "--output", output, "--skip-existing", music, status=2)
    assert output.read_text(errors="surrogateescape") == content
    assert result.stderr == f"{output} holds something else than the {form} of an earlier run: left as it is.\n"


def test_music_is_not_written_over(serving, music):
    before = (music / "a.wav").read_bytes()
    for arguments in (["--output", music / "a.wav", music / "deep"], ["--csv", "--output", music / "a.wav", music]):
        assert "would write over a piece of music" in serving(*arguments, status=2).stderr
    assert (music / "a.wav").read_bytes() == before


def test_an_output_that_cannot_be_is_one_sentence(serving, music, tmp_path):
    for output in (tmp_path, tmp_path / "nowhere" / "report"):
        result = serving("--output", output, music, status=2)
        assert result.stderr.startswith(f"{output} cannot be written: ")
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_any_file_name(serving, tmp_path, form):
    names = ["a b.wav", "ünï 音.wav", "two\u2028lines.wav", "new\nline.wav", 'quo"te,s.wav', "bad\udcff.wav"]
    for name in names:
        (tmp_path / name).write_bytes(sound_file(tone(3)))
    output = tmp_path / "report"
    serving(form, tmp_path)
    serving(form, "--output", output, tmp_path)
    whole = output.read_bytes()
    text = whole.decode(errors="surrogateescape")
    if form == "--json":
        told = [json.loads(line)["file"] for line in text.split("\n")[:-1]]
    else:
        told = [row["file"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert sorted(told) == sorted(str(tmp_path / name) for name in names)
    serving(form, "--output", output, "--skip-existing", tmp_path)
    assert output.read_bytes() == whole


def test_a_reader_that_has_seen_enough(music, served_model):
    environment = {**os.environ, "GENRE_MODEL": str(served_model), "GENRE_PROVIDER": "cpu"}
    command = f"{sys.executable} -m serving {music} | head -1"
    result = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr == ""


def test_a_folder_without_music(serving, tmp_path):
    assert serving(tmp_path, status=2).stderr == "There are no audio files in what was named.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--json", "--csv", "x"],
        ["--top-k", "0", "x"],
        ["--top-k", "99", "x"],
        ["--skip-existing", "x"],
        ["--what", "x"],
    ],
)
def test_wrong_use_is_exit_code_2(serving, arguments):
    assert serving(*arguments, status=2).stderr


def test_no_model_is_one_sentence(serving, music, monkeypatch):
    environment = {**os.environ, "GENRE_MODEL": "/nowhere.onnx"}
    command = [sys.executable, "-m", "serving", str(music)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("There is no model file at /nowhere.onnx")
    assert len(result.stderr.splitlines()) == 1
