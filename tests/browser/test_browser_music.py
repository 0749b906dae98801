"""Real music: the browser's answers beside the native runtime's."""

import pytest

from genre_classifier import Classifier
from tests.support.music import as_sold
from tests.support.songs import recording

SONGS, FEW = 30, 6
CLASSIFY = """async (file) => {
    const { Classifier } = await import("./classifier/classifier.js");
    window.classifier ??= await Classifier.load();
    return window.classifier.classify(file);
}"""


@pytest.mark.gtzan
@pytest.mark.parametrize("count", [FEW, pytest.param(SONGS, marks=pytest.mark.slow)])
def test_music_has_the_genre_that_it_has_natively(in_a_page, data, count):
    """But for one in thirty; the mean probabilities differ by less than 0.001."""
    songs = as_sold(data, count)
    assert len(songs) == count
    same, differences = 0, []
    with Classifier(provider="cpu") as classifier:
        for song in songs:
            native = classifier.classify(song.content)
            given = in_a_page(CLASSIFY, song.name, song.content)
            same += given["genre"] == native.genre
            differences += [abs(given["probabilities"][label] - p) for label, p in native.probabilities.items()]
            assert len(given["segments"]) == len(native.segments)
    assert same >= count - count // SONGS
    assert max(differences) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["MP3", "FLAC", "WAV"])
def test_a_long_song_is_classified_in_pieces_as_it_is_natively(in_a_page, kind):
    song = recording(kind, 20 * 60)
    with Classifier(provider="cpu") as classifier:
        native = classifier.classify(song.content)
    given = in_a_page(CLASSIFY, song.name, song.content)
    assert given["votes"] == native.votes
    assert given["probabilities"] == pytest.approx(native.probabilities, abs=1e-3)
    assert given["duration"] == pytest.approx(native.duration, abs=0.1)
    assert len(given["segments"]) == len(native.segments) == 400
