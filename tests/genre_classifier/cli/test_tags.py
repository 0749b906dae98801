"""Genres in files' tags: told in every format that has a place for them, and no music lost."""

import hashlib
import io
import stat

import av
import mutagen
import numpy as np
import pytest
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, TCON, TIT2, TPE1

from genre_classifier.audio import SAMPLE_RATE, decode
from genre_classifier.cli import genre_tags
from genre_classifier.cli.genre_tags import GenreTags
from genre_classifier.cli.results import TagError
from genre_classifier.genre_names import display_name
from tests.support.audio import encode, tone
from tests.support.stand_in import LABELS

ENCODED = {
    "m4a": ("ipod", "aac", 44100),
    "mp4": ("mp4", "aac", 44100),
    "wma": ("asf", "wmav2", 44100),
    "wv": ("wv", "wavpack", 44100),
    "opus": ("opus", "libopus", 48000),
    "mka": ("matroska", "flac", 44100),
}
KEYS = {
    "m4a": "\xa9gen",
    "mp4": "\xa9gen",
    "wma": "WM/Genre",
    "wv": "Genre",
    "mp3": "TCON",
    "wav": "TCON",
    "aiff": "TCON",
}


def encoded(suffix):
    kind, codec, rate = ENCODED[suffix]
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(4)[None].astype(np.float32), format="flt", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        convert = av.AudioResampler(stream.codec_context.format.name, "mono", rate)
        stream.bit_rate = 128_000
        sizes = stream.codec_context.frame_size
        fifo = av.AudioFifo()
        for each in convert.resample(frame):
            each.pts = None
            fifo.write(each)
        for each in (*fifo.read_many(sizes or 4096), fifo.read()):
            if each:
                container.mux(stream.encode(each))
        container.mux(stream.encode(None))
    return file.getvalue()


def music_file(folder, suffix):
    path = folder / f"song.{suffix}"
    libsndfile = {"mp3": "MP3", "flac": "FLAC", "ogg": "OGG", "wav": "WAV", "aiff": "AIFF", "au": "AU"}
    path.write_bytes(encode(tone(4), container=libsndfile[suffix]) if suffix in libsndfile else encoded(suffix))
    return path


def write_genre(path, genre):
    tags = GenreTags(path)
    if tags.genres != tags.with_genre(genre):
        tags.change(tags.with_genre(genre), lambda: None)


def genre_of(path):
    return [str(each) for each in mutagen.File(path)[KEYS.get(path.suffix[1:], "genre")]]


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "opus", "wav", "aiff", "m4a", "mp4", "wma", "wv"])
def test_every_format(tmp_path, suffix):
    path = music_file(tmp_path, suffix)
    path.chmod(0o640)
    before = decode(path).waveform
    original = GenreTags(path).genres
    write_genre(path, "jazz")
    assert genre_of(path) == ["jazz"]
    GenreTags(path).change(original, lambda: None)
    assert not GenreTags(path).present
    write_genre(path, "hip hop")
    assert genre_of(path) == ["hip hop"]
    np.testing.assert_array_equal(decode(path).waveform, before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_the_names_are_those_that_players_know():
    assert {display_name(label) for label in LABELS} <= set(TCON.GENRES)


def test_other_tags_stay_and_so_does_their_version(tmp_path):
    path = music_file(tmp_path, "mp3")
    old = ID3()
    old.add(TIT2(encoding=3, text=["Blå"]))
    old.add(TCON(encoding=3, text=["Polka"]))
    old.update_to_v23()
    old.save(path, v2_version=3, v1=2)
    write_genre(path, "jazz")
    new = ID3(path)
    assert new.version == (2, 3, 0)
    assert (new["TIT2"].text, new["TCON"].text) == (["Blå"], ["jazz"])


def test_several_values_in_an_old_version_stay_several(tmp_path):
    path = music_file(tmp_path, "mp3")
    old = ID3()
    old.add(TPE1(encoding=1, text=["Ann", "Bob"]))
    old.add(TCON(encoding=1, text=["Polka", "Waltz/Jig"]))
    old.save(path, v2_version=3, v23_sep=None)  # as some taggers write them, with a zero between
    original = GenreTags(path).genres
    write_genre(path, "Jazz")
    assert (ID3(path).version, ID3(path)["TPE1"].text, ID3(path)["TCON"].text) == ((2, 3, 0), ["Ann", "Bob"], ["Jazz"])
    GenreTags(path).change(original, lambda: None)
    assert (ID3(path)["TPE1"].text, ID3(path)["TCON"].text) == (["Ann", "Bob"], ["Polka", "Waltz/Jig"])


@pytest.mark.parametrize("suffix", ["au", "mka"])
def test_a_format_without_a_place_for_it(tmp_path, suffix):
    path = music_file(tmp_path, suffix)
    before = path.read_bytes()
    with pytest.raises(TagError, match="no place for a genre"):
        write_genre(path, "jazz")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path):
    path = music_file(tmp_path, "flac")
    link = tmp_path / "link.flac"
    link.symlink_to(path)
    write_genre(link, "jazz")
    assert link.is_symlink()
    assert genre_of(path) == ["jazz"]


def test_audio_that_would_change_is_not_put_in_place(tmp_path, monkeypatch):
    path = music_file(tmp_path, "mp3")
    before = path.read_bytes()
    save = mutagen.mp3.MP3.save

    def save_wrongly(self, part, **options):
        save(self, part, **options)
        content = bytearray(part.read_bytes())
        content[-2000] ^= 1
        part.write_bytes(content)

    monkeypatch.setattr(mutagen.mp3.MP3, "save", save_wrongly)
    with pytest.raises(TagError, match="would not stay the same"):
        write_genre(path, "jazz")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_or_out_of_space_it_leaves_the_file_as_it_was(tmp_path, monkeypatch, error):
    path = music_file(tmp_path, "flac")
    before = hashlib.sha256(path.read_bytes()).digest()

    def fail(handle):
        raise error

    monkeypatch.setattr(genre_tags.os, "fsync", fail)
    with pytest.raises(TagError if isinstance(error, OSError) else KeyboardInterrupt):
        write_genre(path, "jazz")
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_copy_that_cannot_be_written_is_told_without_its_name(tmp_path, monkeypatch):
    path = music_file(tmp_path, "mp3")
    monkeypatch.setattr(mutagen.mp3.MP3, "save", lambda *_, **__: mutagen.id3.ID3().save(tmp_path))
    with pytest.raises(TagError) as told:
        write_genre(path, "jazz")
    assert str(told.value) == "Its tags cannot be written, and are left as they are: Is a directory."


def with_info(path, *tags):
    """Put an INFO list before the music, as FFmpeg does."""
    content = b"INFO" + b"".join(name + len(text).to_bytes(4, "little") + text for name, text in tags)
    riff = path.read_bytes()
    size = int.from_bytes(riff[4:8], "little") + 8 + len(content)
    chunk = b"LIST" + len(content).to_bytes(4, "little") + content
    path.write_bytes(riff[:4] + size.to_bytes(4, "little") + riff[8:12] + chunk + riff[12:])


def test_info_says_the_same_as_id3_and_gets_back_what_it_said(tmp_path):
    path = music_file(tmp_path, "wav")
    with_info(path, (b"INAM", b"Blue\0\0\0"[:6]), (b"IGNR", b"Polka\0"))
    before = decode(path).waveform
    original = GenreTags(path).genres
    assert original == {"ID3": None, "INFO": ["Polka"]}
    write_genre(path, "Hip-Hop")
    assert GenreTags(path).genres == {"ID3": ["Hip-Hop"], "INFO": ["Hip-Hop"]}
    with av.open(str(path)) as container:  # an outside judge of the list
        assert (container.metadata["genre"], container.metadata["title"]) == ("Hip-Hop", "Blue")
    np.testing.assert_array_equal(decode(path).waveform, before)
    GenreTags(path).change(original, lambda: None)
    assert {kind: genres or [] for kind, genres in GenreTags(path).genres.items()} == {"ID3": [], "INFO": ["Polka"]}
    np.testing.assert_array_equal(decode(path).waveform, before)


def without_padding(content):
    """Music of an odd length, without the byte of padding that belongs after it."""
    place = content.index(b"data") + 4
    size = int.from_bytes(content[place : place + 4], "little") - 1
    riff = (len(content) - 9).to_bytes(4, "little")
    return content[:4] + riff + content[8:place] + size.to_bytes(4, "little") + content[place + 4 : -1]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8"])
def test_a_wav_without_an_info_list_gets_one_and_loses_it_again(tmp_path, subtype):
    path = tmp_path / "song.wav"
    path.write_bytes(encode(tone(4), subtype=subtype))
    if subtype == "PCM_U8":
        path.write_bytes(without_padding(path.read_bytes()))
    before, waveform = path.read_bytes(), decode(path).waveform
    original = GenreTags(path).genres
    assert original == {"ID3": None, "INFO": None}
    write_genre(path, "Hip-Hop")
    assert GenreTags(path).genres == {"ID3": ["Hip-Hop"], "INFO": ["Hip-Hop"]}
    content = path.read_bytes()
    assert int.from_bytes(content[4:8], "little") == len(content) - 8
    without_id3 = tmp_path / "info.wav"
    without_id3.write_bytes(content[: content.index(b"id3 ")])
    with av.open(str(without_id3)) as container:  # an outside judge of the list
        assert container.metadata["genre"] == "Hip-Hop"
    np.testing.assert_array_equal(decode(path).waveform, waveform)
    GenreTags(path).change(original, lambda: None)
    after = path.read_bytes()
    assert after[8:] == before[8:] + b"\0" * (subtype == "PCM_U8")  # the padding stays
    assert int.from_bytes(after[4:8], "little") == len(after) - 8


@pytest.mark.parametrize("sizes", [{"RIFF": 2**32 - 1, "data": 2**32 - 1}, {"RIFF": 2**32 - 1}, {"data": 2**31}])
def test_a_wav_whose_header_has_no_sizes_keeps_its_tags(tmp_path, sizes):
    path = music_file(tmp_path, "wav")
    content = bytearray(path.read_bytes())
    for name, size in sizes.items():
        place = content.index(name.encode()) + 4
        content[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(TagError, match="left as they are: the sizes in its header"):
        write_genre(path, "Jazz")
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_wav_whose_list_lies_beyond_its_size_keeps_its_tags(tmp_path):
    path = music_file(tmp_path, "wav")
    content = path.read_bytes()
    path.write_bytes(content + b"LIST\x10\0\0\0INFOINAM\4\0\0\0Blue")
    before = path.read_bytes()
    size = int.from_bytes(before[4:8], "little")
    assert size == len(content) - 8  # it ends before the list
    with pytest.raises(TagError, match="left as they are, since the genre could not be read again"):
        write_genre(path, "Jazz")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["mp3", "wav"])
def test_old_tags_of_another_encoding_do_not_keep_a_genre_out(tmp_path, suffix):
    path = music_file(tmp_path, suffix)
    title = "Blå".encode("latin-1")
    if suffix == "wav":
        with_info(path, (b"INAM", title + b"\0"))
    else:
        path.write_bytes(path.read_bytes() + b"TAG" + title.ljust(124, b"\0") + b"\xff")
    write_genre(path, "Jazz")
    assert GenreTags(path).present == ["Jazz"]
    assert title in path.read_bytes()


def test_apev2_says_the_same_as_id3(tmp_path):
    path = music_file(tmp_path, "mp3")
    ape = APEv2()
    ape["Title"], ape["Genre"] = "Blue", ["Polka", "Waltz"]
    ape.save(path)
    tags = GenreTags(path)
    original = tags.genres
    assert original["APEv2"] == ["Polka", "Waltz"]
    assert tags.present == ["Polka", "Waltz"]
    write_genre(path, "Jazz")
    assert GenreTags(path).genres == {"ID3": ["Jazz"], "APEv2": ["Jazz"]}
    assert str(APEv2(path)["Title"]) == "Blue"
    GenreTags(path).change(original, lambda: None)
    assert GenreTags(path).genres["APEv2"] == ["Polka", "Waltz"]
