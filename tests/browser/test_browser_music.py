"""Real music: the browser's answers beside the native runtime's."""

import pytest

from genre_classifier import Classifier
from tests.support.music import as_sold

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
