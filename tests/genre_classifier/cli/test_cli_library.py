"""What an owner of a library asks for: tags with a journal, lists, standard input, similar music, a second try."""

import json
import os
import shutil
import subprocess
import sys

import mutagen
import numpy as np
import pytest

from genre_classifier.cli.journal import Change, Journal, read_changes
from genre_classifier.genre_names import display_name
from tests.support import ROOT
from tests.support.audio import encode, tone
from tests.support.stand_in import write_stand_in


@pytest.fixture
def surer(tmp_path):
    """A model that is never uncertain."""
    return write_stand_in(tmp_path / "surer.onnx", metadata={"uncertain_below": "0.0"})


def curate(path, genre):
    opened = mutagen.File(path)
    opened["genre"] = genre
    opened.save()


def genre(path):
    tags = mutagen.File(path)
    return list(tags.get("genre", ())) if path.suffix == ".flac" else list(tags["TCON"].text) if tags.tags else []


def test_a_genre_that_stands_there_stays_unless_asked(cli, music, tmp_path, surer):
    curate(music / "b.flac", ["Polka", "Waltz"])
    report = tmp_path / "report.jsonl"
    arguments = ("--model", surer, "--json", "--output", report, "--write-tags", music)
    said = cli(*arguments, "--dry-run").stderr
    answers = [json.loads(line)["genre"] for line in report.read_text().splitlines()]
    assert f"{music / 'a.wav'}: no genre -> {display_name(answers[0])}" in said
    assert "would be written into 1 files; 1 keep theirs" in said
    assert (genre(music / "a.wav"), genre(music / "b.flac")) == ([], ["Polka", "Waltz"])
    cli(*arguments)
    assert (genre(music / "a.wav"), genre(music / "b.flac")) == ([display_name(answers[0])], ["Polka", "Waltz"])
    cli(*arguments, "--overwrite-tags")
    assert genre(music / "b.flac") == [display_name(answers[1])]
    before = (music / "b.flac").stat()
    assert "into 0 files; 2 keep theirs" in cli(*arguments, "--overwrite-tags").stderr
    after = (music / "b.flac").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    journals = sorted(tmp_path.glob("report.tags-*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    assert len(journals) == 2
    cli("--undo", journals[1])
    assert genre(music / "b.flac") == ["Polka", "Waltz"]
    assert "0 genres are put back, 1 stood there already" in cli("--undo", journals[1]).stderr
    cli("--undo", journals[0])
    assert genre(music / "a.wav") == []


def test_a_blank_genre_is_none(cli, music, surer):
    for blank in (["", " "], [""]):
        curate(music / "b.flac", blank)
        assert "into 1 files; 0 keep theirs" in cli("--model", surer, "--write-tags", music / "b.flac").stderr
        assert genre(music / "b.flac")[0].strip()


def test_what_is_in_doubt_gets_no_genre(cli, music, tmp_path, surer):
    unsure = write_stand_in(tmp_path / "unsure.onnx", metadata={"uncertain_below": "1.0"})
    said = cli("--model", unsure, "--write-tags", music).stderr
    assert said == "Genres are written into 0 files; 0 keep theirs, 2 are in doubt.\n"
    said = cli("--model", surer, "--write-tags", "--min-confidence", "1", music).stderr
    assert "2 are in doubt" in said
    assert (genre(music / "a.wav"), genre(music / "b.flac")) == ([], [])


def test_names_of_one_s_own(cli, music, tmp_path, surer):
    answer = json.loads(cli("--model", surer, "--json", music / "b.flac").stdout)
    names = tmp_path / "names.txt"
    names.write_text(f"# mine\n{answer['genre']} = Music; Ünïque\n")
    arguments = ("--model", surer, "--write-tags", "--genre-names", names, "--journal", tmp_path / "j", music)
    cli(*arguments)
    assert "Music; Ünïque" in genre(music / "b.flac")
    for wrong in ("polka = Polka", answer["genre"], f"{answer['genre']} ="):
        names.write_text(wrong)
        assert f"The names of genres in {names}, line 1: write one of" in cli(*arguments, status=2).stderr


def test_undo_leaves_what_was_changed_since_and_what_is_gone(cli, music, tmp_path, surer):
    journal = tmp_path / "journal.jsonl"
    cli("--model", surer, "--write-tags", "--journal", journal, music)
    curate(music / "b.flac", ["Polka"])
    (music / "a.wav").unlink()
    said = cli("--undo", journal, status=1).stderr
    assert f"{music / 'b.flac'}: Its genre was changed since" in said
    assert f"{music / 'a.wav'}: There is no such file any more." in said
    assert genre(music / "b.flac") == ["Polka"]


def test_a_journal_is_on_the_disk_before_the_file_is_replaced(cli, music, tmp_path, stand_in):
    journal = tmp_path / "journal.jsonl"
    before = (music / "b.flac").read_bytes()
    program = (
        "import os, pathlib, signal, sys; from genre_classifier.cli.main import main\n"
        "pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "main()"
    )
    arguments = ["--write-tags", "--tag-uncertain", "--journal", journal, music / "b.flac"]
    environment = {**os.environ, "GENRE_MODEL": str(stand_in)}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == -9
    assert len(journal.read_text().splitlines()) == 2
    assert (music / "b.flac").read_bytes() == before
    assert "1 stood there already" in cli("--undo", journal).stderr
    assert (music / "b.flac").read_bytes() == before


def test_a_journal_replaces_nothing(cli, music, tmp_path, surer):
    notes = tmp_path / "notes.txt"
    notes.write_text("buy milk")
    said = cli("--model", surer, "--write-tags", "--journal", notes, music, status=2).stderr
    assert said == f"--journal {notes} is a file that this program did not write: name another.\n"
    assert notes.read_text() == "buy milk"
    report = tmp_path / "report.jsonl"
    cli("--json", "--output", report, music)
    whole = report.read_text()
    cli("--json", "--output", report, "--write-tags", "--journal", notes, music, status=2)
    assert report.read_text() == whole  # nothing was begun
    assert cli("--undo", notes, status=2).stderr == f"{notes} is no journal of --write-tags.\n"


def test_a_journal_without_a_change_goes_if_the_run_made_it(cli, music, tmp_path, surer):
    mine, link, new = tmp_path / "mine", tmp_path / "link", tmp_path / "new"
    mine.touch()
    link.symlink_to("aim")
    for journal in (mine, link, new):
        cli("--model", surer, "--write-tags", "--min-confidence", "1", "--journal", journal, music)
    assert mine.is_file()
    assert link.is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"music", "surer.onnx", "mine", "link"}


def test_a_journal_that_another_run_continues_stays(tmp_path):
    path = tmp_path / "journal.jsonl"
    change = Change("song.mp3", {"ID3": None}, {"ID3": ["Jazz"]})
    with Journal(path), Journal(path) as other:
        other.note(change)
    assert list(read_changes(path)) == [change]


def test_an_interrupted_undo_says_how_far_it_came(cli, music, tmp_path, surer):
    journal = tmp_path / "journal.jsonl"
    cli("--model", surer, "--write-tags", "--journal", journal, music)
    program = (
        "import _thread; from genre_classifier.cli import genre_tags, main\n"
        "change = genre_tags.GenreTags.change\n"
        "def then_interrupt(*arguments): change(*arguments); _thread.interrupt_main()\n"
        "genre_tags.GenreTags.change = then_interrupt\n"
        "main.main()"
    )
    command = [sys.executable, "-c", program, "--undo", str(journal)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "Interrupted: " in done.stderr
    assert "of 2 are done; the same call does the rest." in done.stderr
    cli("--undo", journal)
    assert (genre(music / "a.wav"), genre(music / "b.flac")) == ([], [])


def test_what_failed_is_tried_again_when_asked(cli, music, tmp_path):
    report, good = tmp_path / "report.csv", (music / "a.wav").read_bytes()
    (music / "a.wav").write_bytes(b"no music")
    arguments = ("--csv", "--output", report, "--embeddings", tmp_path / "e.npz")
    cli(*arguments, music, status=1)
    before = report.read_text()
    (music / "a.wav").write_bytes(good)
    said = cli(*arguments, "--skip-existing", os.path.relpath(music, ROOT)).stderr
    assert said == "1 files failed before: --retry-failed tries them again.\n"
    assert report.read_text() == before
    cli(*arguments, "--skip-existing", "--retry-failed", music)
    rows = report.read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["file", str(music / "b.flac"), str(music / "a.wav")]
    assert rows[2].split(",")[1]
    assert sorted(np.load(tmp_path / "e.npz")["files"]) == [str(music / "a.wav"), str(music / "b.flac")]


def test_audio_and_lists_come_by_standard_input(music, tmp_path, stand_in):
    command = [sys.executable, "-m", "genre_classifier", "--json", "--jobs", "1", "--quiet"]

    def run(*arguments, given):
        environment = {**os.environ, "GENRE_MODEL": str(stand_in)}
        done = subprocess.run(
            [*command, *arguments], cwd=ROOT, env=environment, input=given, capture_output=True, check=True
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    (streamed,) = run("-", given=(music / "a.wav").read_bytes())
    (named,) = run(str(music / "a.wav"), given=b"")
    assert streamed == {**named, "file": "-"}
    paths = [str(music / "b.flac"), str(music / "a.wav")]
    for end, encoding in (("\n", "utf-8"), ("\0", "utf-8"), ("\r\n", "utf-8-sig")):
        told = run("--files-from", "-", given="".join(path + end for path in paths).encode(encoding))
        assert [each["file"] for each in told] == paths


def test_similar_music(cli, music, tmp_path, surer):
    shutil.copy(music / "a.wav", music / "twin.wav")
    (music / "c.wav").write_bytes(encode(tone(4, 3000)))
    held = tmp_path / "e.npz"
    cli("--embeddings", held, music)
    told = [
        json.loads(line) for line in cli("--json", "--similar-to", music / "a.wav", "--in", held).stdout.splitlines()
    ]
    assert told[0] == {"file": str(music / "twin.wav"), "similarity": 1.0}
    assert {each["file"] for each in told} == {str(music / name) for name in ("twin.wav", "b.flac", "c.wav")}
    vectors = dict(zip(np.load(held)["files"], np.load(held)["embeddings"], strict=True))
    song = vectors[str(music / "a.wav")]
    for each in told:
        other = vectors[each["file"]]
        assert each["similarity"] == pytest.approx(
            np.vdot(song, other) / np.sqrt(song @ song * (other @ other)), abs=1e-5
        )
    assert len(cli("--similar-to", music / "a.wav", "--in", held, "--top-k", "1").stdout.splitlines()) == 2
    (tmp_path / "other.npz").write_bytes(b"PK")
    assert (
        "holds no embeddings" in cli("--similar-to", music / "a.wav", "--in", tmp_path / "other.npz", status=2).stderr
    )
    assert "There is no readable file" in cli("--similar-to", tmp_path / "no.wav", "--in", held, status=1).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--dry-run", "x"],
        ["--undo", "x", "y"],
        ["--undo", "x", "--json"],
        ["--similar-to", "x"],
        ["--in", "x.npz", "y"],
        ["--retry-failed", "x"],
        ["--write-tags", "-"],
        ["--files-from", "-", "-"],
        ["--min-confidence", "2", "--write-tags", "x"],
    ],
)
def test_what_does_not_go_together_is_exit_code_2(cli, arguments):
    assert cli(*arguments, status=2).stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--jobs", "0"], "--jobs: 0 is not a whole number from 1"),
        (["--jobs", "two"], "--jobs: two is not a whole number from 1"),
        (["--min-confidence", "70%"], "--min-confidence: 70% is not a number from 0 to 1"),
        (["--min-confidence", "nan"], "--min-confidence: nan is not a number from 0 to 1"),
    ],
)
def test_a_wrong_value_is_said_in_words(cli, arguments, sentence):
    assert cli(*arguments, "--write-tags", "x", status=2).stderr.endswith(f"argument {sentence}\n")
