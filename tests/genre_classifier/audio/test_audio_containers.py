"""M4A, WMA, WebM, video containers and playlists: what goes through PyAV."""

import http.server
import io
import threading

import av
import librosa
import numpy as np
import pytest
import soundfile
import soxr

from genre_classifier.audio import SAMPLE_RATE, AudioError, decode
from tests.support.audio import encode, encode_av, music

# container, codec, channels, rate
LOSSLESS = [
    ("ipod", "alac", 2, 44_100),
    ("matroska", "flac", 2, 48_000),
    ("mov", "pcm_s24le", 2, 44_100),
    ("mov", "pcm_u8", 1, 22_050),
    ("mov", "pcm_f64le", 2, 44_100),
    ("matroska", "pcm_f32le", 6, 96_000),
    ("matroska", "pcm_f32le", 8, 48_000),
    ("matroska", "pcm_s16le", 2, 22_050),
]
LOSSY = [
    ("ipod", "aac", 1, 22_050),
    ("ipod", "aac", 2, 44_100),
    ("mp4", "aac", 6, 48_000),
    ("webm", "libopus", 2, 48_000),
    ("webm", "libopus", 8, 48_000),
    ("mp4", "libmp3lame", 2, 44_100),
    ("wv", "wavpack", 2, 44_100),
]
# These do not declare what their encoders put in front, so they start late by that; FFmpeg's WMA decoder takes away
# more than FFmpeg's encoder puts there, so it starts early. By 2048 samples at the most.
SHIFTED = [
    ("adts", "aac", 2, 44_100),
    ("asf", "wmav2", 2, 44_100),
    ("mpegts", "aac", 2, 48_000),
    ("avi", "mp2", 2, 44_100),
    ("ac3", "ac3", 6, 48_000),
]


def resampled(signal, rate):
    return librosa.resample(signal.mean(axis=1), orig_sr=rate, target_sr=SAMPLE_RATE)


def correlation(waveform, expected):
    size = min(len(waveform), len(expected))
    return np.corrcoef(waveform[:size], expected[:size])[0, 1]


@pytest.mark.parametrize(("container", "codec", "channels", "rate"), LOSSLESS)
def test_lossless(container, codec, channels, rate):
    signal = music(rate, 2, channels)
    audio = decode(encode_av(signal, rate, container, codec))
    assert audio.warning is None
    assert audio.waveform.dtype == np.float32
    expected = resampled(signal, rate)
    assert audio.waveform.shape == expected.shape
    step = {"pcm_u8": 2**-7, "pcm_s16le": 2**-15, "flac": 2**-15}.get(codec, 1e-6)
    assert np.abs(audio.waveform - expected).max() <= step


@pytest.mark.parametrize(("container", "codec", "channels", "rate"), LOSSY)
def test_lossy(container, codec, channels, rate):
    signal = music(rate, 3, channels)
    audio = decode(encode_av(signal, rate, container, codec))
    expected = resampled(signal, rate)
    assert audio.warning is None
    assert 0 <= len(audio.waveform) - len(expected) <= 1024  # the last packet's padding
    assert correlation(audio.waveform, expected) > 0.9  # so its start is where the source's is


@pytest.mark.parametrize(("container", "codec", "channels", "rate"), SHIFTED)
def test_lossy_that_starts_elsewhere(container, codec, channels, rate):
    signal = music(rate, 3, channels)
    audio = decode(encode_av(signal, rate, container, codec))
    expected = resampled(signal, rate)
    assert audio.warning is None
    assert abs(len(audio.waveform) - len(expected)) <= 2048
    middle = expected[20_000:26_000]
    assert max(correlation(audio.waveform[start:], middle) for start in range(20_000 - 2048, 20_000 + 2048)) > 0.9


def test_eight_channels_of_planes():
    """PyAV's own frame.to_ndarray counts a ninth plane here, and crashes."""
    signal = music(48_000, 1, 8)
    audio = decode(encode_av(signal, 48_000, "ipod", "alac", layout="7.1(wide)"))
    np.testing.assert_allclose(audio.waveform, resampled(signal, 48_000), atol=1e-6)


def test_float_beyond_one_is_kept():
    signal = music(22_050, 1, 1, peak=3.0)
    np.testing.assert_array_equal(decode(encode_av(signal, 22_050, "matroska", "pcm_f32le")).waveform, signal[:, 0])


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "aac"), ("matroska", "libopus"), ("mpegts", "aac"), ("avi", "mp2")]
)
def test_first_audio_of_a_video(container, codec):
    """The picture lasts twice as long, which is no reason to warn that the sound breaks off."""
    signal = music(48_000, 3, 2)
    audio = decode(encode_av(signal, 48_000, container, codec, video_seconds=6))
    assert audio.warning is None
    assert len(audio.waveform) == pytest.approx(3 * SAMPLE_RATE, abs=2048)


def test_video_without_sound():
    data = encode_av(np.zeros((0, 2), np.float32), 48_000, "mp4", "aac", video_seconds=2, audio=False)
    with pytest.raises(AudioError, match="no audio track") as caught:
        decode(data)
    assert caught.value.kind == "undecodable"


def test_content_decides_not_the_name(tmp_path):
    data = encode_av(music(44_100, 1, 2), 44_100, "ipod", "aac")
    expected = decode(data).waveform
    for name in ("song.mp3", "song.wav", "song", "song.m3u8", "song.raw", "song%03d.png"):
        path = tmp_path / name
        path.write_bytes(data)
        with path.open("rb") as file:
            for source in (path, str(path), file):
                np.testing.assert_array_equal(decode(source).waveform, expected)


@pytest.mark.parametrize(("container", "codec"), [("ipod", "aac"), ("adts", "aac"), ("webm", "libopus")])
def test_max_seconds(container, codec):
    data = encode_av(music(48_000, 4, 2), 48_000, container, codec)
    assert decode(data, max_seconds=4.1).warning is None
    with pytest.raises(AudioError, match=r"longer than the limit of 3\.5 seconds") as caught:
        decode(data, max_seconds=3.5)
    assert caught.value.kind == "too_long"


@pytest.fixture
def web():
    """A web server on this machine that counts what is asked of it."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(encode(music(22_050, 1, 1), 22_050, "MP3"))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret.mp3", asked
    server.shutdown()
    server.server_close()


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-on-'
    'demand:2011" type="static" mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="audio/mp4">'
    '<Representation id="1" bandwidth="9"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "m3u": "{}\n",
    "url": "[InternetShortcut]\nURL={}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
}


@pytest.mark.parametrize("playlist", PLAYLISTS.values(), ids=PLAYLISTS)
@pytest.mark.parametrize("as_bytes", [True, False])
def test_playlist_is_refused(playlist, as_bytes, web, tmp_path):
    url, asked = web
    victim = tmp_path / "secret.mp3"
    victim.write_bytes(encode(music(22_050, 1, 1), 22_050, "MP3"))
    for target in (str(victim), victim.name, f"file:{victim}", url, f"concat:{victim}", f"crypto+{url}"):
        path = tmp_path / "song.mp3"
        path.write_text(playlist.format(target))
        with pytest.raises(AudioError) as caught:
            decode(path.read_bytes() if as_bytes else path)
        assert caught.value.kind == "undecodable"
    assert not asked


@pytest.mark.parametrize("kind", ["hls", "concat"])
def test_the_attack_is_real(kind, tmp_path):
    """Opened without this package's options, the same playlists do read the other file."""
    victim = tmp_path / "secret.mp3"
    victim.write_bytes(encode(music(22_050, 1, 1), 22_050, "MP3"))
    path = tmp_path / f"list.{'m3u8' if kind == 'hls' else 'txt'}"
    path.write_text(PLAYLISTS[kind].format(victim if kind == "hls" else victim.name))
    with path.open("rb") as file, av.open(file) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 20_000


def test_opus_that_libsndfile_gives_up_on_is_decoded_whole():
    """FFmpeg makes such files from WMA, whose packets are not of one length."""
    made = io.BytesIO()
    wma = io.BytesIO(encode_av(music(44100, 7, 1)[:, 0], 44100, "asf", "wmav2"))
    with av.open(wma) as source, av.open(made, "w", format="opus") as target:
        stream = target.add_stream("libopus", rate=48000, layout="mono")
        resampler = av.AudioResampler("s16", "mono", 48000, stream.codec_context.frame_size or 960)
        for frame in source.decode(audio=0):
            for piece in resampler.resample(frame):
                target.mux(stream.encode(piece))
        target.mux(stream.encode(None))
    content = made.getvalue()
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(io.BytesIO(content))
    with av.open(io.BytesIO(content)) as container:
        frames = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    audio = decode(content)
    assert audio.warning is None
    expected = soxr.resample(frames, 48000, 22050, "soxr_hq")
    assert len(audio.waveform) - len(expected) in {0, 1}  # rounded up
    np.testing.assert_allclose(audio.waveform[: len(expected)], expected, atol=1e-6)


@pytest.mark.parametrize("rate", [44_100, 22_050])
def test_mp3_of_varying_bitrate_that_tells_no_length_is_decoded_whole(rate):
    """libsndfile guesses its length from the first frame, and would leave out what is beyond that."""
    level = np.repeat(np.float32([0, 0.9, 0]), [rate // 4, 9 * rate, 11 * rate])
    told = encode(level * np.random.default_rng(0).uniform(-1, 1, len(level)).astype(np.float32), rate, "MP3")
    untold = told.replace(b"Xing", bytes(4))
    assert untold != told
    expected = decode(told).waveform
    assert soundfile.info(io.BytesIO(untold)).duration < 0.9 * len(expected) / SAMPLE_RATE
    audio = decode(untold)
    assert audio.warning is None
    assert 0 <= len(audio.waveform) - len(expected) < 0.2 * SAMPLE_RATE  # a frame more, and the decoder's own delay
    assert np.square(audio.waveform).sum() == pytest.approx(np.square(expected).sum(), rel=0.01)


def test_a_stream_that_appears_in_the_middle_is_damage():
    one = encode_av(music(44100, 6, 1)[:, 0], 44100, "mpegts", "aac")
    other = encode_av(music(44100, 6, 1)[:, 0], 44100, "mpegts", "aac", video_seconds=6)
    audio = decode(one + other)
    assert len(audio.waveform) >= 5 * 22050
