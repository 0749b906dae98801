"""A library of beets in a temporary folder, with the plugin, and the stand-in as its model."""

import os
import subprocess
import sys

import mutagen
import pytest
import yaml

from tests.support import ROOT
from tests.support.audio import encode, tone
from tests.support.stand_in import write_stand_in

# A source of metadata that finds every song, by the title that it has already.
SOURCE = """
from beets.autotag.hooks import TrackInfo
from beets.metadata_plugins import MetadataSourcePlugin

class SourcePlugin(MetadataSourcePlugin):
    def item_candidates(self, item, artist, title):
        return [TrackInfo(title=title, artist=artist, track_id=title, length=item.length, data_source="Source")]

    def candidates(self, items, artist, album, va_likely):
        return []

    def album_for_id(self, album_id):
        return None

    def track_for_id(self, track_id):
        return None
"""


@pytest.fixture(scope="session")
def surer(tmp_path_factory):
    """A model that is never uncertain."""
    return write_stand_in(tmp_path_factory.mktemp("model") / "surer.onnx", metadata={"uncertain_below": "0.0"})


@pytest.fixture
def music(tmp_path):
    """A folder of four songs, one of which has genres of its owner's."""
    folder = tmp_path / "music"
    folder.mkdir()
    for name, kind, hertz in (("a", "MP3", 440), ("b", "FLAC", 110), ("c", "OGG", 220), ("d", "WAV", 880)):
        path = folder / f"{name}.{kind.lower()}"
        path.write_bytes(encode(tone(4, hertz), container=kind))
        opened = mutagen.File(path, easy=kind != "WAV")
        if kind == "WAV":
            opened.add_tags()
            opened.tags.add(mutagen.id3.TIT2(encoding=3, text=[name]))
        else:
            opened["title"], opened["artist"], opened["album"] = name, "Someone", "Songs"
        opened.save()
    curated = mutagen.File(folder / "b.flac")
    curated["genre"] = ["Polka", "Waltz"]
    curated.save()
    return folder


class Library:
    """A library, and the program `beet` that works on it."""

    def __init__(self, folder, **options):
        self.folder = folder / "library"
        self._settings = folder / "settings"
        self._settings.mkdir()
        (self._settings / "source.py").write_text(SOURCE)
        command = [sys.executable, "-m", "genre_classifier", "--beets-path"]
        plugin = subprocess.check_output(command, cwd=ROOT, text=True).removesuffix("\n")
        self.settings = {
            "directory": str(self.folder),
            "plugins": ["genreclassifier", "source"],
            "pluginpath": [plugin, str(self._settings)],
            "ui": {"color": False},
            "paths": {"default": "$title", "singleton": "$title"},
            "genreclassifier": {"provider": "cpu", **options},
        }

    def beet(self, *arguments, status=0):
        """Run it; what it said on standard output and standard error."""
        (self._settings / "config.yaml").write_text(yaml.safe_dump(self.settings))
        environment = {**os.environ, "BEETSDIR": str(self._settings), "PYTHONPATH": str(ROOT), "GENRE_MODEL": "none"}
        command = [sys.executable, "-m", "beets", *map(str, arguments)]
        done = subprocess.run(  # noqa: PLW1510
            command, cwd=self._settings, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def genres(self):
        """The genres in the library, by title."""
        lines = self.beet("list", "-f", "$title: $genres").splitlines()
        return {title: genres.split("; ") if genres else [] for title, genres in (line.split(": ") for line in lines)}

    def tags(self):
        """The genres in the files' own tags, by title."""
        return {path.stem: read_genre(path) for path in sorted(self.folder.iterdir())}


def read_genre(path):
    tags = mutagen.File(path).tags or {}
    key = "TCON" if path.suffix in {".mp3", ".wav"} else "genre"
    return [str(each) for each in tags.get(key, [])]


@pytest.fixture
def library(tmp_path, surer):
    return Library(tmp_path, model=str(surer))
