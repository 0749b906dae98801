"""Synthetic chunks: extreme cases that a collection of music may lack."""

import numpy as np
from numpy.typing import NDArray

from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE


def synthetic_chunks() -> dict[str, NDArray[np.float32]]:
    """Chunks by name, each float32 (66150,): tones, chords, click tracks, noise, silence and extreme levels."""
    chunks = {f"tone {frequency} Hz": tone(frequency) for frequency in (60.0, 440.0, 1234.5, 9000.0)}
    chunks |= {f"chord, A at {a4} Hz": chord(a4) for a4 in (428.0, 436.5, 440.0, 444.0, 452.0)}
    chunks |= {f"clicks at {tempo} BPM": clicks(tempo) for tempo in (60.0, 90.0, 120.0, 150.0, 200.0)}
    noise = np.random.default_rng(0).standard_normal(CHUNK_SAMPLES)
    impulse = np.zeros(CHUNK_SAMPLES)
    impulse[CHUNK_SAMPLES // 3] = 1.0
    sweep = np.sin(2 * np.pi * (50.0 * SECONDS + 1000.0 * SECONDS**2))
    chunks |= {
        "white noise": 0.1 * noise,
        "brown noise": np.cumsum(noise) / 500.0,
        "noise 90 dB down": 10 ** (-90 / 20) * noise,
        "chord and noise 60 dB down": chord(440.0) + 1e-3 * noise,
        "clipped chord": np.clip(8.0 * chord(443.0), -1.0, 1.0),
        "beyond full scale": 4.0 * clicks(110.0) * chord(440.0),
        "sweep": sweep,
        "second half silent": np.where(SECONDS < 1.5, chord(440.0), 0.0),  # noqa: PLR2004
        "impulse": impulse,
        "far beyond full scale": np.float32(3e38) * np.sign(chord(440.0)),
        "constant": np.full(CHUNK_SAMPLES, 0.25),
        "silence": np.zeros(CHUNK_SAMPLES),
    }
    return {name: np.asarray(chunk, dtype=np.float32) for name, chunk in chunks.items()}


SECONDS = np.arange(CHUNK_SAMPLES) / SAMPLE_RATE


def tone(frequency: float) -> NDArray[np.float64]:
    """A sine at half of full scale."""
    return 0.5 * np.sin(2 * np.pi * frequency * SECONDS)


def chord(a4: float) -> NDArray[np.float64]:
    """A minor seventh chord of six decaying partials a note, in equal temperament with A4 at `a4` Hz."""
    notes = [a4 * 2 ** (semitones / 12) for semitones in (-12, -9, -5, -2)]
    return sum(
        (0.1 / partial * np.sin(2 * np.pi * partial * note * SECONDS) for note in notes for partial in range(1, 7)),
        np.zeros(CHUNK_SAMPLES),
    )


def clicks(tempo: float) -> NDArray[np.float64]:
    """A decaying 1 kHz click on every beat, the first after 0.1 s; tempo in beats per minute."""
    since = np.mod(SECONDS - 0.1, 60.0 / tempo)
    return np.where(SECONDS >= 0.1, 0.8 * np.exp(-60.0 * since) * np.sin(2 * np.pi * 1000.0 * since), 0.0)  # noqa: PLR2004
