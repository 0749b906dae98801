"""The command line: files and folders, forms of output, exit codes."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import mutagen
import numpy as np
import pytest

from genre_classifier.audio import SAMPLE_RATE
from genre_classifier.genre_names import display_name
from tests.support import ROOT
from tests.support.audio import encode, tone
from tests.support.stand_in import write_stand_in


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.wav").write_bytes(encode(tone(4)))
    (folder / "deep" / "b.FLAC").write_bytes(encode(tone(4, 110), container="FLAC"))
    (folder / "deep" / "notes.txt").write_text("not looked at")
    return folder


def test_help_imports_nothing_heavy(cli):
    assert "--skip-existing" in cli("--help").stdout
    heavy = "{'numpy', 'onnxruntime', 'pydantic', 'bentoml'}"
    program = f"import sys, genre_classifier.cli.main; print(*{heavy} & set(sys.modules))"
    assert not subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).strip()


def test_a_table_of_a_folder(cli, music):
    lines = cli(music).stdout.splitlines()
    assert lines[0].split() == ["genre", "sure", "length", "file"]
    assert [line.split()[-1] for line in lines[1:]] == [str(music / "a.wav"), str(music / "deep" / "b.FLAC")]
    assert "0:04" in lines[1]


def test_a_file_may_be_longer_than_a_service_takes(cli, tmp_path, monkeypatch):
    path = tmp_path / "mix.wav"
    path.write_bytes(encode(np.tile(tone(3), 421)))  # 21 minutes and 3 seconds
    assert json.loads(cli("--json", path).stdout)["duration"] == 1263
    monkeypatch.setenv("GENRE_MAX_SECONDS", "1200")
    assert "longer than the limit" in cli(path, status=1).stderr


def test_files_are_answered_in_order_whichever_is_done_first(cli, tmp_path):
    for number in range(12):
        seconds = 3 if number % 4 else 60
        (tmp_path / f"{number:02}.wav").write_bytes(encode(np.tile(tone(3), seconds // 3)))
    lines = cli("--json", tmp_path).stdout.splitlines()
    assert [json.loads(line)["file"] for line in lines] == [str(tmp_path / f"{n:02}.wav") for n in range(12)]


def test_json_is_what_the_service_answers(cli, music, client, served_model):
    result = cli("--model", served_model, "--json", "--top-k", "2", music / "a.wav")
    assert result.stderr == ""
    answer = json.loads(result.stdout)
    assert answer.pop("file") == str(music / "a.wav")
    files = {"audio": (music / "a.wav").read_bytes()}
    assert answer == client.post("/classify", files=files, data={"top_k": "2"}).json()


def test_csv_has_a_column_for_each_label(cli, music, client):
    rows = list(csv.DictReader(cli("--csv", music).stdout.splitlines()))
    assert [row["file"] for row in rows] == [str(music / "a.wav"), str(music / "deep" / "b.FLAC")]
    labels = client.get("/model").json()["labels"]
    assert sum(float(rows[0][label]) for label in labels) == pytest.approx(1, abs=1e-4)


def test_bad_files_are_reported_and_the_rest_go_on(cli, music):
    (music / "bad.mp3").write_bytes(b"no music")
    result = cli("--json", music, music / "nothing.wav", status=1)
    told = {each["file"]: each.get("kind") for each in map(json.loads, result.stdout.splitlines())}
    assert len(told) == 4
    assert (told[str(music / "bad.mp3")], told[str(music / "nothing.wav")]) == ("undecodable", "missing")
    rows = list(csv.DictReader(cli("--csv", music, status=1).stdout.splitlines()))
    assert [bool(row["error"]) == bool(row["genre"]) for row in rows] == [False] * 3
    assert f"{music / 'bad.mp3'}: " in result.stderr
    assert f"{music / 'nothing.wav'}: " in result.stderr
    assert result.stderr.endswith("2 of 4 files could not be classified.\n")


def test_the_version_is_the_release_s(cli):
    assert cli("--version").stdout == f"genre-classifier {version('genre-classifier')}\n"


def test_a_pattern_is_what_it_fits(cli, music):
    (music / "c.mp3").write_text("not looked at")
    for pattern, names in [("**/*.[wF]*", ["a.wav", "deep/b.FLAC"]), ("*p", ["deep/b.FLAC"]), ("a.???", ["a.wav"])]:
        lines = cli("--json", music / pattern).stdout.splitlines()
        assert [json.loads(line)["file"] for line in lines] == [str(music / name) for name in names]
    result = cli("--json", music / "*.flac", music / "a.wav", status=1)
    assert [json.loads(line).get("kind") for line in result.stdout.splitlines()] == ["missing", None]
    assert f"{music / '*.flac'}: " in result.stderr


def files_of(told):
    return [json.loads(line)["file"] for line in told.stdout.splitlines()]


def test_a_file_is_judged_once_however_it_is_named(cli, music, tmp_path):
    (music / "deep" / "loop").symlink_to(music)
    (music / "link.wav").symlink_to(music / "a.wav")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "c.wav").write_bytes(encode(tone(3)))
    (music / "other").symlink_to(tmp_path / "other")
    names = ["a.wav", "deep/b.FLAC", "link.wav", "other/c.wav"]
    assert files_of(cli("--json", music)) == [str(music / name) for name in names]
    aliases = [music / "deep" / ".." / "a.wav", music / "a.wav", music / "**" / "a.wav"]
    assert files_of(cli("--json", *aliases)) == [str(aliases[0])]


def told_of(music, long):
    return [str(music / "gone.mp3"), long, str(music / "._a.wav")]


def test_what_is_hidden_is_not_looked_for_and_what_cannot_be_read_is_told(cli, music):
    (music / "._a.wav").write_text("a Mac's note on a.wav")
    (music / ".trash").mkdir()
    (music / ".trash" / "old.wav").write_bytes(encode(tone(3)))
    (music / "gone.mp3").symlink_to(music / "nowhere")
    long = "x" * 300 + ".mp3"
    result = cli("--json", music, long, music / "._a.wav", status=1)
    assert files_of(result) == [str(music / "a.wav"), str(music / "deep" / "b.FLAC"), *told_of(music, long)]
    told = [line.partition(": ")[0] for line in result.stderr.splitlines()]
    assert told == [*told_of(music, long), "3 of 5 files could not be classified."]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file_is_not_written_over(cli, music, tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    for name in ("pipe.npz", "folder.npz"):
        assert "not a file that can be written" in cli("--embeddings", tmp_path / name, music, status=2).stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path != music) == ["folder.npz", "pipe.npz"]
    assert (tmp_path / "pipe.npz").is_fifo()


def test_a_setting_that_will_not_do_is_wrong_use(cli, music, monkeypatch):
    monkeypatch.setenv("GENRE_THREADS", "-1")
    assert cli(music, status=2).stderr.startswith("GENRE_THREADS='-1' is not valid")


def test_a_name_does_nothing_to_the_terminal(cli, music):
    (music / "a.wav").rename(music / "\x1b[31mred\n.wav")
    lines = cli(music).stdout.splitlines()
    assert len(lines) == 3
    assert "\\x1b[31mred\\n.wav" in lines[1]


def test_segments_in_a_table_are_stretches_of_a_genre(cli, music):
    song = tone(13)
    song[3 * SAMPLE_RATE : 9 * SAMPLE_RATE] = 0
    (music / "a.wav").write_bytes(encode(song))
    lines = cli("--segments", "--top-k", "2", music / "a.wav").stdout.splitlines()
    assert lines[2].split()[0] == "then"
    assert [line.split()[0] for line in lines[3:]] == ["0:00-0:03", "0:03-0:09", "0:09-0:13"]
    assert lines[4].split()[1] == "silence"
    segments = json.loads(cli("--json", music / "a.wav").stdout)["segments"]
    assert [lines[3].split()[1], lines[5].split()[1]] == [segments[0]["genre"], segments[-1]["genre"]]


def test_segments_in_csv_are_a_row_each(cli, music):
    rows = list(csv.DictReader(cli("--csv", "--segments", music).stdout.splitlines()))
    answers = [json.loads(line) for line in cli("--json", music).stdout.splitlines()]
    segments = [(answer["file"], segment) for answer in answers for segment in answer["segments"]]
    assert len(rows) == len(segments)
    for row, (file, segment) in zip(rows, segments, strict=True):
        assert (row["file"], float(row["start"]), float(row["end"])) == (file, segment["start"], segment["end"])
        assert row["genre"] == segment["genre"]
        assert {label: float(row[label]) for label in segment["probabilities"]} == segment["probabilities"]


def test_csv_of_segments_goes_on_with_the_file_that_may_not_be_whole(cli, music, tmp_path):
    output = tmp_path / "segments.csv"
    (music / "a.wav").write_bytes(encode(tone(9)))
    arguments = ["--csv", "--segments", "--output", output]
    cli(*arguments, music)
    whole = output.read_text()
    for lines in (4, 3, 2, 1):
        output.write_text("".join(whole.splitlines(keepends=True)[:lines]))
        cli(*arguments, "--skip-existing", music)
        assert output.read_text() == whole


def test_embeddings_are_what_the_service_answers(cli, music, tmp_path, client, served_model):
    path = tmp_path / "embeddings.npz"
    cli("--model", served_model, "--embeddings", path, music)
    with np.load(path) as held:
        assert held["files"].tolist() == [str(music / "a.wav"), str(music / "deep" / "b.FLAC")]
        assert held["embeddings"].dtype == np.float32
        assert str(held["model"]) == client.get("/model").json()["version"]
        for file, embedding in zip(held["files"], held["embeddings"], strict=True):
            answer = client.post("/embed", files={"audio": Path(file).read_bytes()}).json()
            np.testing.assert_allclose(embedding, answer["embedding"], rtol=1e-5, atol=1e-6)


def test_an_interrupted_run_goes_on_with_report_and_embeddings(cli, music, tmp_path):
    report, path = tmp_path / "report.jsonl", tmp_path / "embeddings.npz"
    arguments = ["--json", "--output", report, "--embeddings", path]
    cli(*arguments, music)
    whole, held = report.read_text(), dict(np.load(path))
    path.unlink()  # killed before it was saved
    cli(*arguments, "--skip-existing", music)
    assert report.read_text() == whole
    assert all((np.load(path)[name] == held[name]).all() for name in held)
    report.write_text(whole.splitlines(keepends=True)[0])
    cli(*arguments, "--skip-existing", music)
    assert report.read_text() == whole
    assert all((np.load(path)[name] == held[name]).all() for name in held)
    path.write_text("something else")
    assert "left as it is" in cli(*arguments, "--skip-existing", music, status=2).stderr
    assert path.read_text() == "something else"
    assert "cannot be written" in cli("--embeddings", tmp_path / "no" / "where.npz", music, status=2).stderr


def test_genres_are_written_into_the_files(cli, music):
    (music / "c.au").write_bytes(encode(tone(3), container="AU"))
    before = (music / "c.au").read_bytes()
    journal = music.parent / "journal.jsonl"
    result = cli("--json", "--write-tags", "--tag-uncertain", "--journal", journal, music, status=1)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert mutagen.File(music / "a.wav")["TCON"].text == [display_name(answers[0]["genre"])]
    assert mutagen.File(music / "deep" / "b.FLAC")["genre"] == [display_name(answers[2]["genre"])]
    assert f"{music / 'c.au'}: This format has no place for a genre" in result.stderr
    assert result.stderr.splitlines()[1:] == [
        "1 of 3 files could not be tagged.",
        "Genres are written into 2 files; 0 keep theirs, 0 are in doubt.",
        f"What stood there is in the journal: genre-classifier --undo {journal}",
    ]
    assert (music / "c.au").read_bytes() == before
    assert [json.loads(line) for line in cli("--json", music).stdout.splitlines()] == answers


def test_ctrl_c_keeps_what_is_done(music, tmp_path, served_model):
    report, path = tmp_path / "report.jsonl", tmp_path / "embeddings.npz"
    (music / "z.wav").write_bytes(encode(np.tile(tone(3), 1200)))  # an hour: it is under way for long
    environment = {**os.environ, "GENRE_MODEL": str(served_model), "GENRE_PROVIDER": "cpu"}
    command = [
        sys.executable,
        "-m",
        "genre_classifier",
        "--json",
        "--output",
        report,
        "--embeddings",
        path,
        "--write-tags",
        "--tag-uncertain",
        music,
    ]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        end = time.monotonic() + 60
        while not (report.exists() and len(report.read_text().splitlines()) == 2) and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"2 files are done. They are in {report} and {path}; --skip-existing goes on from there." in said
    assert "--undo" in said
    assert len(report.read_text().splitlines()) == len(np.load(path)["files"]) == 2
    assert mutagen.File(music / "deep" / "b.FLAC")["genre"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_files_take_no_more_memory_than_a_thousand(tmp_path, served_model):
    (tmp_path / "song.wav").write_bytes(encode(tone(3)))
    environment = {**os.environ, "GENRE_MODEL": str(served_model), "GENRE_PROVIDER": "cpu"}
    peaks = []
    for count in (1000, 10_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            os.link(tmp_path / "song.wav", folder / f"{number}.wav")
        report = tmp_path / f"{count}.jsonl"
        command = [sys.executable, "-m", "genre_classifier", "--json", "--output", report, folder]
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        assert sum(1 for _ in report.open()) == count
        peaks.append(usage.ru_maxrss / 1024)
    print(f"{peaks[0]:.0f} and {peaks[1]:.0f} MiB")
    assert peaks[1] < peaks[0] + 30


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_skip_existing_goes_on_where_it_was_interrupted(cli, music, tmp_path, form):
    output = tmp_path / "answers"
    cli(form, "--output", output, music)
    whole = output.read_text()
    output.write_text(whole[:-20])  # interrupted in the last line
    assert cli(form, "--output", output, "--skip-existing", music).stdout == ""
    assert output.read_text() == whole
    cli(form, "--output", output, "--skip-existing", music)
    assert output.read_text() == whole


@pytest.mark.parametrize("form", ["--json", "--csv"])
@pytest.mark.parametrize("content", ["a letter", "two\n\nlines\n", '["report"]\n', "a,b\n1,2\n", "\udcff\udcfe\n"])
def test_a_file_that_is_no_report_is_left_as_it_is(cli, music, tmp_path, form, content):
    output = tmp_path / "letter.txt"
    output.write_text(content, errors="surrogateescape")
    result = cli(form, "--output", output, "--skip-existing", music, status=2)
    assert output.read_text(errors="surrogateescape") == content
    assert (
        result.stderr
        == f"{output} holds something else than the {form} report of an earlier run, and is left as it is.\n"
    )


def test_music_is_not_written_over(cli, music):
    before = (music / "a.wav").read_bytes()
    for arguments in (["--output", music / "a.wav", music / "deep"], ["--csv", "--output", music / "a.wav", music]):
        assert "would overwrite a piece of music" in cli(*arguments, status=2).stderr
    assert (music / "a.wav").read_bytes() == before


def test_an_output_that_cannot_be_is_one_sentence(cli, music, tmp_path):
    for output in (tmp_path, tmp_path / "nowhere" / "report"):
        result = cli("--output", output, music, status=2)
        assert result.stderr.startswith(f"{output} cannot be written: ")
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_any_file_name(cli, tmp_path, form):
    names = ["a b.wav", "ünï 音.wav", "two\u2028lines.wav", "new\nline.wav", 'quo"te,s.wav', "bad\udcff.wav"]
    for name in names:
        (tmp_path / name).write_bytes(encode(tone(3)))
    output = tmp_path / "report"
    cli(form, tmp_path)
    cli(form, "--output", output, tmp_path)
    whole = output.read_bytes()
    text = whole.decode(errors="surrogateescape")
    if form == "--json":
        told = [json.loads(line)["file"] for line in text.split("\n")[:-1]]
    else:
        told = [row["file"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert sorted(told) == sorted(str(tmp_path / name) for name in names)
    cli(form, "--output", output, "--skip-existing", tmp_path)
    assert output.read_bytes() == whole


def test_a_reader_that_has_seen_enough(music, served_model):
    environment = {**os.environ, "GENRE_MODEL": str(served_model), "GENRE_PROVIDER": "cpu"}
    command = f"{sys.executable} -m genre_classifier {music} | head -1"
    result = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr == ""


def test_a_folder_without_music(cli, tmp_path):
    assert cli(tmp_path, status=2).stderr == "There are no audio files in what was named.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--json", "--csv", "x"],
        ["--top-k", "0", "x"],
        ["--top-k", "99", "x"],
        ["--skip-existing", "x"],
        ["--output", "x.out", "--embeddings", "x.out", "x"],
        ["--what", "x"],
        ["x", ""],
    ],
)
def test_wrong_use_is_exit_code_2(cli, arguments):
    assert cli(*arguments, status=2).stderr


def test_no_model_is_one_sentence(cli, music, monkeypatch):
    environment = {**os.environ, "GENRE_MODEL": "/nowhere.onnx"}
    command = [sys.executable, "-m", "genre_classifier", str(music)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("There is no model file at /nowhere.onnx")
    assert len(result.stderr.splitlines()) == 1


def test_a_model_is_named_or_given_by_a_path(cli, music, stand_in, monkeypatch):
    monkeypatch.delenv("GENRE_MODEL", raising=False)
    line = json.loads(cli("--json", "--model", stand_in, music / "a.wav").stdout)
    assert line["model"]["version"] == "stand-in"
    nowhere = cli("--model", "nowhere.onnx", music, status=2)
    assert nowhere.stderr == "There is no model file at nowhere.onnx: train and export one, or name another.\n"


def test_options_and_paths_may_alternate(cli, music):
    result = cli(music / "a.wav", "--json", music / "deep", "--top-k", "1")
    assert files_of(result) == [str(music / "a.wav"), str(music / "deep" / "b.FLAC")]


def test_the_command_line_of_version_0_1_says_what_took_its_place():
    command = [sys.executable, "-m", "serving", "my songs", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "The command line has moved: genre-classifier 'my songs' --json\n"


def test_what_is_no_music_of_any_genre_is_said_to_be_none(cli, music, tmp_path):
    known = write_stand_in(tmp_path / "known.onnx", familiarity=True, metadata={"recognised_above": "-1e9"})
    unknown = write_stand_in(tmp_path / "unknown.onnx", familiarity=True, metadata={"recognised_above": "1e9"})
    song = music / "a.wav"
    table = cli("--model", unknown, song).stdout.splitlines()
    genre = table[1].split()[0]
    assert genre.endswith("?")
    assert table[2].strip() == f"none of these, most like {genre[:-1]}"
    assert len(cli("--model", known, song).stdout.splitlines()) == 2
    for model, recognised in ((known, True), (unknown, False)):
        line = json.loads(cli("--json", "--model", model, song).stdout)
        assert (line["recognised"], line["uncertain"] or recognised) == (recognised, True)
        (row,) = csv.DictReader(io.StringIO(cli("--csv", "--model", model, song).stdout))
        assert row["recognised"] == str(recognised)
