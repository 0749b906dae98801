"""How often what is no music is not recognised: `python -m benchmarks.unfamiliar` makes and classifies sounds."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE, cut_chunks, decode, is_audible
from genre_classifier.models import DEFAULT_MODEL, find_model
from tests.support import DATA
from train.data.clips import Clip, decode_clips, find_clips, find_unlabelled
from train.data.splits import load_split
from train.errors import TrainingError, exit_code
from train.evaluation.metrics import number
from train.evaluation.models import Model, open_model

Sound = NDArray[np.float64]

RESULT = Path(__file__).parent / "results" / "unfamiliar.json"
SECONDS = 9
COUNT = 64  # sounds of each kind
SAMPLES = SECONDS * SAMPLE_RATE
TIME = np.arange(SAMPLES) / SAMPLE_RATE
VOICES = ("en-gb", "en-us", "de", "fr", "es", "it", "sv", "nl")
WORDS = (
    *("the", "train", "to", "London", "leaves", "at", "noon", "from", "platform", "nine", "and", "a", "quarter"),
    *("today", "rain", "is", "expected", "in", "north", "while", "winds", "remain", "light", "Mozart", "wrote", "many"),
)


def noise(random: np.random.Generator) -> Sound:
    """White to brown noise, swelling slowly."""
    spectrum = np.fft.rfft(random.standard_normal(SAMPLES))
    slope = random.uniform(0, 1) * np.log(np.maximum(np.fft.rfftfreq(SAMPLES, 1 / SAMPLE_RATE), 20))
    swell = 1 + random.uniform(0, 0.8) * np.sin(2 * np.pi * random.uniform(0.05, 0.5) * TIME)
    return np.asarray(np.fft.irfft(spectrum * np.exp(-slope), SAMPLES) * swell)


def hum(random: np.random.Generator) -> Sound:
    """The mains and its harmonics over faint noise, as silence is recorded."""
    number = np.arange(1, 13)[:, None]
    level, phase = random.uniform(0, 1, (12, 1)) / number, random.uniform(0, 2 * np.pi, (12, 1))
    tones: Sound = level * np.sin(2 * np.pi * random.choice([50, 60]) * number * TIME + phase)
    faint: Sound = random.uniform(0.005, 0.1) * random.standard_normal(SAMPLES)
    return np.asarray(tones.sum(axis=0) + faint)


def birds(random: np.random.Generator) -> Sound:
    """Chirps of 2 to 8 kHz that glide, in bursts, before a quiet background."""
    sound = 0.01 * random.standard_normal(SAMPLES)
    for start in np.cumsum(random.exponential(0.6, 2 * SECONDS)):
        low, high = random.uniform(2000, 4500), random.uniform(3500, 8000)
        for chirp in range(random.integers(1, 8)):
            _add(sound, start + 0.12 * chirp, _glide(low, high, random.uniform(0.04, 0.1)) * random.uniform(0.3, 1))
    return sound


def whale(random: np.random.Generator) -> Sound:
    """Long moans of 80 to 900 Hz with harmonics, and their echoes in water."""
    sound = 0.01 * random.standard_normal(SAMPLES)
    for start in np.cumsum(random.uniform(0.8, 2.5, SECONDS)) - 1:
        first, last = random.uniform(80, 900, 2)
        seconds = random.uniform(0.8, 2.5)
        moan = sum(_glide(first * number, last * number, seconds) / number**1.5 for number in range(1, 5))
        for echo in range(4):
            _add(sound, start + 0.37 * echo, moan * 0.5**echo)
    return sound


def metronome(random: np.random.Generator) -> Sound:
    """Clicks of one pitch, 50 to 200 a minute."""
    sound = 1e-4 * random.standard_normal(SAMPLES)
    pitch, decay = random.uniform(800, 3000), random.uniform(60, 300)
    click = np.sin(2 * np.pi * pitch * TIME[:2205]) * np.exp(-decay * TIME[:2205])
    for start in np.arange(0, SECONDS, 60 / random.uniform(50, 200)):
        _add(sound, start, click)
    return sound


def speech(random: np.random.Generator) -> Sound:
    """Sentences of random words, spoken by espeak-ng in a random voice."""
    text = " ".join(random.choice(WORDS, 60))
    voice = f"{random.choice(VOICES)}+{random.choice(['m', 'f'])}{random.integers(1, 4)}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        pace, pitch = (str(random.integers(*each)) for each in ((120, 200), (30, 70)))
        subprocess.run(["espeak-ng", "-v", voice, "-s", pace, "-p", pitch, "-w", path, text], check=True)
        return decode(path).waveform[:SAMPLES].astype(np.float64)


KINDS: dict[str, Callable[[np.random.Generator], Sound]] = {
    each.__name__: each for each in (speech, noise, hum, birds, whale, metronome)
}


def _glide(first: float, last: float, seconds: float) -> Sound:
    """A sine whose pitch goes from one frequency to another, in hertz, and that swells and fades."""
    time = TIME[: round(seconds * SAMPLE_RATE)]
    phase = 2 * np.pi * (first * time + (last - first) * time**2 / (2 * seconds))
    glide: Sound = np.sin(phase) * np.sin(np.pi * time / seconds) ** 2
    return glide


def _add(sound: Sound, start: float, part: Sound) -> None:
    """Add a part to a sound, in place, from a second on; what lies outside is left out."""
    first = max(0, round(start * SAMPLE_RATE))
    kept = part[: max(0, len(sound) - first)]
    sound[first : first + len(kept)] += kept


def make(kind: str, seed: int) -> NDArray[np.float32]:
    """A sound of a kind, float32 (198450,) with a peak of 0.5; another seed, another sound."""
    sound = KINDS[kind](np.random.default_rng([list(KINDS).index(kind), seed]))
    return np.asarray(0.5 * sound / np.abs(sound).max(), dtype=np.float32)


def familiarity(model: Model, waveform: NDArray[np.float32]) -> float:
    """Mean familiarity of the audible chunks of a waveform (n,) at 22 050 Hz."""
    chunks = [chunk for chunk in cut_chunks(waveform) if is_audible(chunk)]
    scores = model.classify(torch.from_numpy(np.stack(chunks))).familiarity
    assert scores is not None
    return float(scores.double().mean())


def run(*, checkpoint: Path, data: Path | None, split: str, others: Sequence[Path], seed: int, output: Path) -> None:
    """Classify sounds and music, print a table, and write it as JSON.

    Raises:
        TrainingError: something that the user named is missing or does not fit.
    """
    if data is None:
        raise TrainingError("Set GENRE_DATA, or give --data: the folder that holds gtzan/.")
    model = open_model(checkpoint)
    threshold = model.recognised_above
    if threshold is None:
        raise TrainingError(f"{checkpoint} has no familiarity: it names a genre whatever it hears.")
    tested = load_split(split).clips("test")
    music = torch.tensor(hear(model, [clip for clip in find_clips(data / "gtzan") if clip.name in tested]))
    result: dict[str, Any] = {"clips": len(music), "recognised": share(music > threshold), "kinds": {}}
    print(f"{len(music)} clips of music, of which {result['recognised']:.1%} are recognised")
    print(f"{'kind':<20} {'sounds':>6} {'area under ROC':>15} {'not recognised':>15}")
    kinds = {kind: [familiarity(model, make(kind, seed + number)) for number in range(COUNT)] for kind in available()}
    for kind, each in (kinds | {folder.name: hear(model, find_unlabelled(folder)) for folder in others}).items():
        strange = torch.tensor(each)
        area, caught = share(music[:, None] > strange), share(strange <= threshold)
        result["kinds"][kind] = {"sounds": len(each), "area": area, "not_recognised": caught}
        print(f"{kind:<20} {len(each):>6} {area:>15.3f} {caught:>15.0%}")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def available() -> list[str]:
    """The kinds of sounds that can be made here, by name."""
    if shutil.which("espeak-ng"):
        return list(KINDS)
    print("speech is left out: espeak-ng is not installed", file=sys.stderr)
    return [kind for kind in KINDS if kind != speech.__name__]


def hear(model: Model, clips: Iterable[Clip]) -> list[float]:
    """Familiarity of each clip that is as long as a chunk."""
    waveforms = decode_clips(clips)[1]
    return [familiarity(model, waveform) for waveform in waveforms if len(waveform) >= CHUNK_SAMPLES]


def share(true: Tensor) -> float:
    """Share of the values that are true."""
    return number(true.double().mean())


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m benchmarks.unfamiliar`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unfamiliar", description=__doc__)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=find_model(DEFAULT_MODEL),
        help="a model with familiarity, best.ckpt or .onnx",
    )
    parser.add_argument("--data", type=Path, default=DATA, help="a folder that holds gtzan/ (default: GENRE_DATA)")
    parser.add_argument("--split", default="fault-filtered", help="whose test clips are the music")
    parser.add_argument(
        "--others", type=Path, nargs="*", default=[], help="folders of more that is not to be recognised"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sounds")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    return parser.parse_args(argv)


if __name__ == "__main__":
    args = parse_args()
    sys.exit(exit_code("benchmarks.unfamiliar", lambda: run(**vars(args))))
