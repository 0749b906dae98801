"""The librosa way of doing the same: features chunk by chunk, as the graph's features are defined."""

import librosa
import numpy as np
import torch
from numpy.typing import NDArray

from audio import SAMPLE_RATE
from train.features import CHANNELS
from train.spectrum import FRAMES, N_MFCC


def librosa_features(chunk: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of one chunk, float32 (66150,) to float32 (5, 40, 130), by librosa's public functions alone."""
    mfcc = librosa.feature.mfcc(y=chunk, sr=SAMPLE_RATE, n_mfcc=N_MFCC)
    _, beats = librosa.beat.beat_track(y=chunk, sr=SAMPLE_RATE)
    image = np.empty((CHANNELS, N_MFCC, FRAMES), dtype=np.float32)
    image[0] = mfcc
    image[1] = librosa.feature.delta(mfcc)
    image[2] = librosa.feature.delta(mfcc, order=2)
    # Of no beats, librosa makes no segments; the contract makes one.
    image[3] = _resize(librosa.util.sync(mfcc, list(beats) or [0]))
    image[4] = _resize(librosa.feature.chroma_stft(y=chunk, sr=SAMPLE_RATE))
    return image


def _resize(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    batch = torch.from_numpy(np.ascontiguousarray(rows))[None, None]
    resized = torch.nn.functional.interpolate(batch, size=(N_MFCC, FRAMES), mode="bilinear", align_corners=False)
    return np.asarray(resized[0, 0])
