"""What may be replaced: a run's own files, and others with --overwrite; never music."""

import json
import os
import subprocess

import numpy as np
import pytest

from genre_classifier.cli.forms import form_of

ANSWER = {"file": "a.wav", "genre": "jazz", "confidence": 0.5, "uncertain": False, "duration": 3.0}


def others_npz(path):
    with path.open("wb") as file:
        np.savez(file, files=["a"], embeddings=np.zeros((1, 3)), model="mine", notes="of my own")


def others(option, path):
    """Write a file of a user's own."""
    if option == "--output":
        path.write_text("buy milk\n")
    else:
        others_npz(path)


@pytest.mark.parametrize("option", ["--output", "--embeddings"])
def test_a_file_that_others_wrote_is_replaced_with_overwrite_alone(cli, music, tmp_path, option):
    report, embeddings = tmp_path / "report.txt", tmp_path / "u.npz"
    outputs = ("--output", report, "--embeddings", embeddings, music)
    cli(*outputs)
    target, other = (report, embeddings) if option == "--output" else (embeddings, report)
    others(option, target)
    before, kept = target.read_bytes(), other.read_bytes()
    result = cli(*outputs, status=2)
    sentence = "is a file that this program did not write: name another, or add --overwrite."
    assert result.stderr == f"{option} {target} {sentence}\n"
    assert (target.read_bytes(), other.read_bytes()) == (before, kept)
    cli(*outputs, "--overwrite")
    assert report.read_text().splitlines()[0].split() == ["genre", "sure", "length", "file"]
    assert len(np.load(embeddings)["files"]) == 2


@pytest.mark.parametrize(
    "forms", [("--json", "--csv"), ("--csv", "--csv --segments"), ("--segments --top-k 2", "--json")]
)
def test_a_report_of_an_earlier_run_is_replaced(cli, music, tmp_path, forms):
    output = tmp_path / "report"
    output.touch()
    for form in forms:
        arguments = (*form.split(), "--output", output, music)
        cli(*arguments)
        whole = output.read_bytes()
        output.write_bytes(whole[:-20])  # interrupted in the last line
        cli(*arguments)
        assert output.read_bytes() == whole


def test_embeddings_of_an_earlier_run_are_replaced(cli, music, tmp_path):
    path = tmp_path / "u.npz"
    path.touch()
    cli("--embeddings", path, music)
    with np.load(path) as held:
        earlier = dict(held)
    with path.open("wb") as file:
        np.savez(file, **earlier | {"model": np.array("another")})
    cli("--embeddings", path, music / "a.wav")
    assert np.load(path)["files"].tolist() == [str(music / "a.wav")]


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"\x93NUMPY", b"text", b"\x80\x04."])
def test_no_npz_is_taken_for_embeddings(cli, music, tmp_path, content):
    path = tmp_path / "u.npz"
    path.write_bytes(content)
    for option in ((), ("--json", "--output", tmp_path / "report", "--skip-existing")):
        assert len(cli("--embeddings", path, *option, music, status=2).stderr.splitlines()) == 1
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [
        "notes\n",
        "{",
        '{"file": ',
        json.dumps(ANSWER),
        json.dumps(ANSWER) + "\n",
        '{"file": "a.wav", "label": "jazz"}\n',
        '{"file": "a.wav",\n "label": "jazz"}\n',
        '{"file": "a.wav", "lab',
        "file,genre\na.wav,jazz\n",
        "file,start,end,genre\na.wav,0,3,jazz\n",
        "file,start,end,genre,blues,notes\na.wav,0,3,blues,0.9,lovely\n",
        "file,start,end,genre,blues\na.wav,0,3,blues\n",
        "genre of the day: jazz\n",
        "genre   sure  length  file\njazz     90%    0:04  a.wav\nmore of this!\n",
    ],
)
def test_what_only_resembles_a_report_is_none(content):
    assert form_of(content.encode()) is None


def test_what_others_wrote_is_not_continued(cli, music, tmp_path):
    output = tmp_path / "labels.jsonl"
    for content in ('{"file": "a.wav", "label": "jazz"}\n', '{"file": "my no'):
        output.write_text(content)
        assert "left as it is" in cli("--json", "--skip-existing", "--output", output, music, status=2).stderr
        assert output.read_text() == content


def test_skipping_and_overwriting_exclude_each_other(cli):
    assert "use one of them" in cli("--json", "--output", "x", "--skip-existing", "--overwrite", "y", status=2).stderr


@pytest.mark.parametrize("link", ["hardlink_to", "symlink_to"])
@pytest.mark.parametrize("option", ["--output", "--embeddings"])
def test_no_link_to_music_is_written_over(cli, music, tmp_path, option, link):
    output = tmp_path / "notes.txt"
    getattr(output, link)(music / "a.wav")
    before = (music / "a.wav").read_bytes()
    for overwrite in ((), ("--overwrite",)):
        result = cli(option, output, *overwrite, music, status=2)
        assert result.stderr == f"{option} {output} would overwrite a piece of music.\n"
        assert (music / "a.wav").read_bytes() == output.read_bytes() == before


def test_a_link_to_music_that_is_not_classified_is_not_written_over(cli, music, tmp_path):
    (tmp_path / "notes.txt").symlink_to(music / "a.wav")
    before = (music / "a.wav").read_bytes()
    assert cli("--output", tmp_path / "notes.txt", "--overwrite", music / "b.flac", status=2).stderr
    assert (music / "a.wav").read_bytes() == before


@pytest.mark.parametrize("option", ["--output", "--embeddings"])
def test_the_other_names_of_a_file_that_is_replaced_keep_what_they_have(cli, music, tmp_path, option):
    before = (music / "a.wav").read_bytes()
    (tmp_path / "notes.txt").hardlink_to(music / "a.wav")
    (tmp_path / "link").symlink_to("notes.txt")
    cli(option, tmp_path / "link", "--overwrite", music / "b.flac")
    assert (music / "a.wav").read_bytes() == before
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "notes.txt").read_bytes() != before


@pytest.mark.parametrize("link", ["hardlink_to", "symlink_to"])
def test_report_and_embeddings_are_two_files(cli, music, tmp_path, link):
    (tmp_path / "report").touch()
    getattr(tmp_path / "u.npz", link)(tmp_path / "report")
    for overwrite in ((), ("--overwrite",)):
        result = cli("--output", tmp_path / "report", "--embeddings", tmp_path / "u.npz", *overwrite, music, status=2)
        assert result.stderr == "--embeddings and --output must be two files.\n"


def test_a_report_goes_to_devices_and_pipes(cli, music, tmp_path):
    shown = cli("--json", "--output", "/dev/stdout", music).stdout
    assert [json.loads(line)["file"] for line in shown.splitlines()] == [
        str(music / name) for name in ("a.wav", "b.flac")
    ]
    cli("--output", "/dev/null", music)
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        cli("--json", "--output", tmp_path / "pipe", music)
        assert reader.communicate(timeout=30)[0] == shown
