"""The plugin in a real library: `beet` sets genres in the library and in files, on demand and on import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import genre_classifier.beets
from genre_classifier import Classifier
from genre_classifier.genre_names import display_name
from tests.support.audio import encode, tone
from tests.support.stand_in import write_stand_in

NONE = {"a": [], "b": ["Polka", "Waltz"], "c": [], "d": []}


@pytest.fixture
def expected(music, surer):
    """What the model says of each song, as a genre is written."""
    with Classifier(surer, provider="cpu") as classifier:
        return {path.stem: display_name(classifier.classify(path).genre) for path in music.iterdir()}


def test_it_sets_the_genres_that_are_missing(library, music, expected):
    library.beet("import", "--quiet", "--noautotag", music)
    assert library.genres() == library.tags() == NONE
    said = library.beet("genreclassify", "--pretend")
    assert f"Someone - Songs - a\n  genres:\n    + {expected['a']}\n" in said
    assert said.endswith("genreclassifier: 3 genres would be set, 1 kept, 0 in doubt, 0 failed\n")
    assert library.genres() == library.tags() == NONE
    library.beet("genreclassify", "title:a")
    assert library.genres() == library.tags() == NONE | {"a": [expected["a"]]}
    assert "2 genres set, 2 kept, 0 in doubt, 0 failed\n" in library.beet("genreclassify")
    assert library.genres() == library.tags() == {name: [genre] for name, genre in expected.items()} | {"b": NONE["b"]}
    assert sorted(library.beet("list", "-f", "$title", "genre_confidence:0..1").split()) == ["a", "c", "d"]
    library.beet("modify", "--yes", "genre_confidence:0..", "genres=", "genre_confidence!")
    assert library.genres() == library.tags() == NONE
    assert library.beet("list", "genre_confidence:0..") == ""


def test_it_replaces_genres_where_asked(library, music, expected):
    library.beet("import", "--quiet", "--noautotag", music)
    library.settings["genreclassifier"]["overwrite"] = True
    said = library.beet("genreclassify", "title:b")
    assert f"genres:\n    - Polka\n    - Waltz\n    + {expected['b']}\n" in said
    assert library.genres() == library.tags() == NONE | {"b": [expected["b"]]}
    before = (library.folder / "b.flac").stat().st_mtime_ns
    assert "0 genres set, 1 kept" in library.beet("genreclassify", "title:b")
    assert (library.folder / "b.flac").stat().st_mtime_ns == before


def test_an_album_stays_as_it_is_where_no_item_is_set(library, music):
    library.beet("import", "--quiet", "--noautotag", music)
    library.beet("modify", "--yes", "--album", "genres=Polka; Waltz")
    before = library.beet("list", "--album", "-f", "$genres")
    assert "Polka" in before
    assert "Waltz" in before
    said = library.beet("genreclassify", "--overwrite", "--min-confidence", "1")
    assert "0 genres set" in said
    assert library.beet("list", "--album", "-f", "$genres") == before


def test_files_stay_as_they_are_where_beets_writes_none(library, music, expected):
    library.beet("import", "--quiet", "--noautotag", music)
    library.settings["import"] = {"write": False}
    library.beet("genreclassify", "title:a")
    assert (library.genres()["a"], library.tags()) == ([expected["a"]], NONE)
    library.beet("genreclassify", "--write", "title:c")
    assert library.tags() == NONE | {"c": [expected["c"]]}
    library.settings["import"] = {"write": True}
    library.beet("genreclassify", "--nowrite", "title:d")
    assert (library.genres()["d"], library.tags()["d"]) == ([expected["d"]], [])


def test_what_is_in_doubt_gets_no_genre_unless_asked(library, music, tmp_path, expected):
    library.beet("import", "--quiet", "--noautotag", music)
    unsure = write_stand_in(tmp_path / "unsure.onnx", metadata={"uncertain_below": "1.0"})
    library.settings["genreclassifier"]["model"] = "../unsure.onnx"  # beside the configuration
    assert unsure.is_file()
    said = library.beet("-v", "genreclassify")
    assert "0 genres set, 1 kept, 3 in doubt, 0 failed" in said
    assert "Someone - Songs - a is in doubt: " in said
    assert library.genres() == NONE
    assert "3 in doubt" in library.beet("genreclassify", "--uncertain", "--min-confidence", "1")
    library.beet("genreclassify", "--uncertain", "title:a")
    assert library.genres() == NONE | {"a": [expected["a"]]}


def test_names_of_one_s_own(library, music, tmp_path, expected):
    library.beet("import", "--quiet", "--noautotag", music)
    (tmp_path / "names.txt").write_text(f"{expected['a'].lower().replace('-', '')} = Ünïque\n", encoding="utf-8")
    library.settings["genreclassifier"]["genre_names"] = "../names.txt"
    library.beet("genreclassify", "title:a")
    assert library.genres()["a"] == library.tags()["a"] == ["Ünïque"]


def test_a_file_that_cannot_be_classified_is_named_and_the_rest_go_on(library, music, expected):
    library.beet("import", "--quiet", "--noautotag", music)
    (library.folder / "a.mp3").write_bytes(b"no music")
    (library.folder / "c.ogg").unlink()
    said = library.beet("genreclassify")
    warnings = [line for line in said.splitlines() if line.startswith(f"genreclassifier: {library.folder}")]
    assert [line.split(": ")[1] for line in warnings] == [str(library.folder / name) for name in ("a.mp3", "c.ogg")]
    assert "1 genres set, 1 kept, 0 in doubt, 2 failed" in said
    assert library.genres() == NONE | {"d": [expected["d"]]}


@pytest.mark.parametrize("auto", [True, False])
def test_an_import_is_classified_where_asked(library, music, expected, auto):
    (music / "short.wav").write_bytes(encode(tone(1)))
    library.settings["genreclassifier"]["auto"] = auto
    originals = {path: path.read_bytes() for path in music.iterdir()}
    said = library.beet("import", "--quiet", "--singletons", music)
    found = {name: [genre] for name, genre in expected.items()} | {"b": NONE["b"]} if auto else NONE
    titles = {name: genres for name, genres in library.genres().items() if name in NONE}
    assert titles == found
    assert {name: genres for name, genres in library.tags().items() if name in NONE} == found
    assert originals == {path: path.read_bytes() for path in music.iterdir()}
    assert said.count("genreclassifier: ") == auto  # the song that is too short
    assert ("short.wav: The audio is 1 second long" in said) == auto


def test_an_import_without_tagging_leaves_the_tags_to_beet_write(library, music, expected):
    library.settings["genreclassifier"]["auto"] = True
    library.beet("import", "--quiet", "--noautotag", music)
    wanted = {name: [genre] for name, genre in expected.items()} | {"b": NONE["b"]}
    assert (library.genres(), library.tags()) == (wanted, NONE)
    library.beet("write")
    assert library.tags() == wanted


def test_an_album_without_a_genre_gets_that_of_most_of_its_songs(library, music, expected):
    (music / "b.flac").unlink()
    library.beet("import", "--quiet", "--noautotag", music)
    assert library.beet("list", "-a", "-f", "<$genres>").split() == ["<>"]
    library.beet("genreclassify", "title:d")
    assert library.beet("list", "-a", "-f", "$genres").strip() == expected["d"]
    library.beet("genreclassify", "--force")
    names = [expected[name] for name in "acd"]
    assert library.beet("list", "-a", "-f", "$genres").strip() == max(names, key=names.count)
    assert library.genres() == {name: [expected[name]] for name in "acd"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"model": "missing.onnx"}, "missing.onnx"),
        ({"jobs": 0}, "genreclassifier.jobs must be 1 or more."),
        ({"min_confidence": 2}, "genreclassifier.min_confidence must be from 0 to 1."),
        ({"provider": "tpu"}, "genreclassifier.provider"),
        ({"genre_names": "missing.txt"}, "cannot be read: No such file or directory."),
    ],
)
def test_a_wrong_option_is_one_sentence_and_nothing_is_begun(library, music, options, sentence):
    library.beet("list")  # makes the library
    library.settings["genreclassifier"] |= options | {"auto": True}
    said = library.beet("import", "--quiet", "--noautotag", music, status=1)
    (line,) = said.splitlines()
    assert line.startswith(("error: ", "configuration error: "))
    assert sentence in line
    assert not library.folder.exists()
    assert library.beet("list") == ""


def test_the_folder_holds_nothing_that_another_module_could_be(tmp_path):
    folder = genre_classifier.beets.PLUGIN_PATH
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == {"__init__.py", "genreclassifier.py"}
    command = [sys.executable, "-c", "import beets, mediafile; print(beets.__file__)"]
    found = subprocess.check_output(command, cwd=tmp_path, text=True, env={**os.environ, "PYTHONPATH": str(folder)})
    assert not Path(found.strip()).is_relative_to(folder)
