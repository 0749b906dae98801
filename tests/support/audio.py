"""Signals, and audio files made of them."""

import io
from fractions import Fraction

import av
import numpy as np
import soundfile as sf

from genre_classifier.audio import SAMPLE_RATE


def music(rate, seconds, channels, peak=0.8):
    """Sweeps that differ by channel, so that no two moments are alike, and a little noise: float32 (n, channels)."""
    time = np.arange(round(rate * seconds)) / rate
    noise = np.random.default_rng(rate + channels).standard_normal((len(time), channels))
    pitches = 110 * 1.5 ** np.arange(channels)
    signal = np.sin(2 * np.pi * pitches * (time + 0.1 * time**2)[:, None]) + 0.05 * noise
    return (signal * (peak / np.abs(signal).max())).astype(np.float32)


def tone(seconds=7.0, hertz=440.0, level=0.5, rate=SAMPLE_RATE):
    """A sine and a little noise, which differs by pitch: float32 (n,)."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(int(hertz)).standard_normal(len(time))
    return (level * (0.75 * np.sin(2 * np.pi * hertz * time) + 0.08 * noise)).astype(np.float32)


def encode(signal, rate=SAMPLE_RATE, container="WAV", subtype=None):
    """Write a signal, (n,) or (n, channels), with libsndfile: the file's bytes."""
    signal = signal[:, None] if signal.ndim == 1 else signal
    file = io.BytesIO()
    # In pieces: libsndfile's Vorbis encoder overflows its stack when given seconds at once.
    with sf.SoundFile(file, "w", rate, signal.shape[1], format=container, subtype=subtype) as sound:
        for start in range(0, len(signal), 4096):
            sound.write(signal[start : start + 4096])
    return file.getvalue()


def encode_av(signal, rate, container, codec, *, layout=None, options=None, video_seconds=0, audio=True, path=None):
    """Write a signal, (n,) or (n, channels), with FFmpeg, a black video beside it if asked for: the file's bytes."""
    channels = 1 if signal.ndim == 1 else signal.shape[1]
    layout = layout or {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[channels]
    file = io.BytesIO() if path is None else str(path)
    with av.open(file, "w", format=container, options=options or {}) as output:
        video = output.add_stream("mpeg4", rate=10) if video_seconds else None
        if audio:
            stream = output.add_stream(codec, rate=rate, layout=layout)
            stream.bit_rate = 96_000 * channels
            stream.codec_context.open()
        if video:
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
            for index in range(10 * video_seconds):
                picture = av.VideoFrame(64, 64, "yuv420p")
                picture.pts = index
                output.mux(video.encode(picture))
            output.mux(video.encode(None))
        if audio:
            # AAC and WMA take 1024 and 2048 samples at a time, PCM any number.
            resampler = av.AudioResampler(
                stream.codec_context.format.name, layout, rate, stream.codec_context.frame_size or 1024
            )
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(signal).reshape(1, -1), "flt", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            for piece in resampler.resample(frame) + resampler.resample(None):
                output.mux(stream.encode(piece))
            output.mux(stream.encode(None))
    return file.getvalue() if path is None else path.read_bytes()
