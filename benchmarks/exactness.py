"""How close the features are to librosa's: `python -m benchmarks.exactness` compares them on real music."""

import argparse
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.baseline import librosa_features
from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE, cut_chunks, decode
from tests.support import DATA
from train.errors import TrainingError, exit_code
from train.features import Features

RESULT = Path(__file__).parent / "results" / "exactness.json"
CHANNELS = ("mfcc", "delta", "delta-delta", "tempo-synchronous mfcc", "chroma")
BATCH = 50


class Comparison:
    """Features of chunks by this project's module and by librosa.

    Attributes:
        names: names of the chunks.
        features: features by this project's module, (chunks, 5, 40, 130).
        difference: largest difference in each channel, (chunks, 5).
        beats_equal: whether both find the same beat frames, (chunks,).
        tuning_equal: whether both estimate the same tuning, (chunks,).
    """

    def __init__(self, features: Features, chunks: Mapping[str, NDArray[np.float32]]) -> None:
        self.names = list(chunks)
        waveforms = list(chunks.values())
        given, beats, tunings = [], [], []
        with torch.inference_mode():
            for part in torch.split(torch.from_numpy(np.stack(waveforms)), BATCH):
                power = features.spectrum(part)
                given.append(features(part))
                beats.append(features.beats(features.decibels(power)))
                tunings.append(features.tuning(power))
        self.features = torch.cat(given).numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # librosa warns of chunks in which it finds no pitch
            expected = np.stack([librosa_features(waveform) for waveform in waveforms])
            tuning = [librosa.estimate_tuning(S=_power(waveform), sr=SAMPLE_RATE) for waveform in waveforms]
        beat_frames = [librosa.beat.beat_track(y=waveform, sr=SAMPLE_RATE)[1] for waveform in waveforms]
        ours = [np.flatnonzero(mask) for mask in torch.cat(beats).numpy()]
        self.difference = np.abs(self.features - expected).max(axis=(2, 3))
        self.beats_equal = np.array([np.array_equal(*pair) for pair in zip(ours, beat_frames, strict=True)])
        self.tuning_equal = np.isclose(torch.cat(tunings).numpy(), tuning, rtol=0, atol=1e-6)

    def summary(self) -> dict[str, Any]:
        """Shares of equal decisions, and differences by channel.

        Channels 3 and 4 follow from the beats and from the tuning; they are compared where that decision is equal.
        """
        differences = [
            *self.difference[:, :3].T,
            self.difference[self.beats_equal, 3],
            self.difference[self.tuning_equal, 4],
        ]
        return {
            "chunks": len(self.names),
            "beats_equal": float(self.beats_equal.mean()),
            "tuning_equal": float(self.tuning_equal.mean()),
            "difference": {
                name: {"median": float(np.median(each)), "largest": float(each.max())}
                for name, each in zip(CHANNELS, differences, strict=True)
            },
        }


def _power(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.abs(librosa.stft(waveform)) ** 2, dtype=np.float32)


def real_chunks(data: Path) -> dict[str, NDArray[np.float32]]:
    """The second and the last chunk of every fourth clip of `gtzan/`, and all of `songs/`, by name."""
    chunks: dict[str, NDArray[np.float32]] = {}
    for path in [*sorted((data / "gtzan").glob("*/*.ogg"))[::4], *sorted((data / "songs").glob("*.ogg"))]:
        waveform = decode(path).waveform
        if len(waveform) >= CHUNK_SAMPLES:
            cut = cut_chunks(waveform)
            indices = (1, len(cut) - 1) if path.parent.parent.name == "gtzan" else range(len(cut))
            chunks |= {f"{path.stem} chunk {index}": cut[index] for index in indices}
    return chunks


def run(data: Path | None, output: Path) -> None:
    """Compare, print a table, and write it as JSON.

    Raises:
        TrainingError: there is no music to compare on.
    """
    if data is None:
        raise TrainingError("Set GENRE_DATA, or give --data: the folder that holds gtzan/.")
    chunks = real_chunks(data)
    if not chunks:
        raise TrainingError(f"{data} holds no gtzan/<genre>/*.ogg and no songs/*.ogg.")
    summary = Comparison(Features().eval(), chunks).summary()
    summary["versions"] = {name: version(name) for name in ("librosa", "numpy", "torch")}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(f"{summary['chunks']} chunks of real music, differences from librosa {summary['versions']['librosa']}")
    print(f"same beats {summary['beats_equal']:.1%}, same tuning {summary['tuning_equal']:.1%}")
    for name, each in summary["difference"].items():
        print(f"{name:<24} median {each['median']:.1e}  largest {each['largest']:.1e}")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m benchmarks.exactness`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exactness", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=DATA, help="a folder that holds gtzan/ and songs/ (default: GENRE_DATA)"
    )
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    return parser.parse_args(argv)


if __name__ == "__main__":
    args = parse_args()
    sys.exit(exit_code("benchmarks.exactness", lambda: run(**vars(args))))
