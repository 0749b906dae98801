"""The project's sample clip: six bars of a blues shuffle, synthesised, so that it is free and the same everywhere."""

import argparse
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from genre_classifier.audio.chunks import SAMPLE_RATE

BEAT_SECONDS = 60 / 160  # 0.375 seconds, at 160 beats a minute
BEAT_SAMPLES = BEAT_SECONDS * SAMPLE_RATE  # 8_268.75 samples
BAR_BEATS = 4
SWING = 2 / 3  # of a beat: where a shuffle's second eighth note falls
PEAK = 0.7

BARS = (45, 50, 45, 52, 50, 45)  # MIDI roots, A D A E D A: a twelve-bar blues cut to half
SEVENTH_CHORD = (12, 16, 19, 22)  # semitones over the root, an octave up
WALKING_BASS = (0, 4, 7, 9)  # semitones, one a beat, an octave down
# Lead: (beat, MIDI pitch, beats), from A's blues scale.
LICK = (
    (0.0, 76, 1.0), (1.67, 74, 0.33), (2.0, 72, 1.0), (3.0, 69, 1.0),
    (6.0, 72, 0.67), (6.67, 74, 0.33), (7.0, 75, 0.5), (7.67, 74, 1.0),
    (9.67, 69, 0.33), (10.0, 72, 0.67), (10.67, 69, 1.33), (13.0, 76, 0.67), (13.67, 79, 0.33), (14.0, 76, 2.0),
    (17.0, 74, 0.67), (17.67, 72, 0.33), (18.0, 74, 1.0), (19.0, 72, 1.0), (20.0, 69, 3.0),
)  # fmt: skip


def note(pitch: float, beats: float, partials: tuple[float, ...], decay: float) -> NDArray[np.float64]:
    """Sum of harmonics, (samples,), with a 5 ms attack and an exponential decay of `decay` a second."""
    time = np.arange(int(beats * BEAT_SAMPLES)) / SAMPLE_RATE
    frequency = 440.0 * 2 ** ((pitch - 69) / 12)
    wave = sum(
        level * np.sin(2 * np.pi * frequency * harmonic * time) * np.exp(-0.5 * decay * (harmonic - 1) * time)
        for harmonic, level in enumerate(partials, start=1)
    )
    release = np.minimum(1, (time[-1] - time) / 0.02)  # no click where the note ends
    return np.asarray(wave * np.minimum(1, time / 0.005) * np.exp(-decay * time) * release)


def kick() -> NDArray[np.float64]:
    """Sine that falls from 160 to 50 Hz."""
    time = np.arange(int(BEAT_SAMPLES)) / SAMPLE_RATE
    return np.sin(2 * np.pi * (50 * time + 110 / 30 * (1 - np.exp(-30 * time)))) * np.exp(-9 * time)


def noise(generator: np.random.Generator, decay: float, *, bright: bool) -> NDArray[np.float64]:
    """Burst of noise; `bright` takes its bass away, twice differenced, for a cymbal."""
    burst = generator.standard_normal(int(BEAT_SAMPLES) + 2)
    burst = np.diff(burst, 2) / 3 if bright else burst[2:]
    return np.asarray(burst * np.exp(-decay * np.arange(len(burst)) / SAMPLE_RATE))


def synthesise() -> NDArray[np.float32]:
    """Nine seconds of music, float32 (198450,) in [-0.7, 0.7] at 22 050 Hz, the same in every run."""
    generator = np.random.default_rng(0)
    beats = BAR_BEATS * len(BARS)
    mix = np.zeros(int(beats * BEAT_SAMPLES))

    def add(beat: float, level: float, sound: NDArray[np.float64]) -> None:
        start = int(beat * BEAT_SAMPLES)
        sound = sound[: len(mix) - start]
        mix[start : start + len(sound)] += level * sound

    for beat in range(beats):
        root, step = BARS[beat // BAR_BEATS], beat % BAR_BEATS
        add(beat, 0.8, note(root - 12 + WALKING_BASS[step], 0.95, (1, 0.6, 0.3, 0.1), 2))
        add(beat, 0.18, noise(generator, 12, bright=True))
        add(beat + SWING, 0.12, noise(generator, 18, bright=True))
        if step % 2:
            add(beat, 0.3, noise(generator, 16, bright=False))  # snare, the backbeat
            for interval in SEVENTH_CHORD:
                add(beat + SWING, 0.13, note(root + interval, 0.5, (1, 0.5, 0.35, 0.2, 0.1), 5))
        else:
            add(beat, 0.9, kick())
            for interval in SEVENTH_CHORD:
                add(beat, 0.16, note(root + interval, 1.2, (1, 0.5, 0.35, 0.2, 0.1), 3))
    for beat_of_note, pitch, length in LICK:
        add(beat_of_note, 0.3, note(pitch, length, (1, 0.2, 0.5, 0.1, 0.3, 0.05, 0.15), 1.5))
    waveform: NDArray[np.float32] = (mix * (PEAK / np.abs(mix).max())).astype(np.float32)
    return waveform


def main() -> None:
    """Write the clip."""
    parser = argparse.ArgumentParser(prog="python -m genre_classifier.audio.sample", description=__doc__)
    parser.add_argument("output", type=Path, help="file to write; its extension says the format: .wav .flac .ogg .mp3")
    output: Path = parser.parse_args().output
    if output.suffix[1:].upper() not in sf.available_formats():
        parser.error(f"no format is called {output.suffix or output.name!r}")
    try:
        sf.write(output, synthesise(), SAMPLE_RATE)
    except (sf.LibsndfileError, TypeError):  # the latter of formats that need more than a name
        parser.error(f"{output} cannot be written")


if __name__ == "__main__":
    main()
