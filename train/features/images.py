"""The five feature images of a chunk, each as librosa 0.11 defines it."""

import torch
from torch import Tensor, nn

from train.features.beats import Beats
from train.features.chroma import N_CHROMA, Chroma, Tuning
from train.features.spectrum import FRAMES, N_MFCC, Cepstrum, MelDecibels, PowerSpectrum

CHANNELS = 5


class Features(nn.Module):
    """Waveform chunks to images of MFCC, delta, delta-delta, tempo-synchronous MFCC and chroma."""

    taller: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.spectrum = PowerSpectrum()
        self.decibels = MelDecibels()
        self.cepstrum = Cepstrum()
        self.beats = Beats()
        self.tuning = Tuning()
        self.chroma = Chroma()
        self.synchronise = Synchronise()
        self.register_buffer("taller", resize_rows(N_CHROMA, N_MFCC), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Chunks, float32 (batch, 66150), to features, float32 (batch, 5, 40, 130)."""
        power = self.spectrum(waveform)
        decibels = self.decibels(power)
        mfcc, delta, delta2 = self.cepstrum(decibels)
        synchronous = self.synchronise(mfcc, self.beats(decibels))
        chroma = torch.matmul(self.taller, self.chroma(power, self.tuning(power)))
        return torch.stack([mfcc, delta, delta2, synchronous, chroma], dim=1)


class Synchronise(nn.Module):
    """Mean of a feature between beats, stretched back to the chunk's frames.

    `librosa.util.sync(mfcc, beats)`, then a bilinear resize (align_corners=False) from segments to 130 frames. Both
    steps are linear, so one matrix does them: frame t, in segment s of n frames, has weight max(0, 1 - |x - s|) / n in
    the output column whose position among the segments is x.
    """

    columns: Tensor
    counting: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("columns", (torch.arange(FRAMES) + 0.5) / FRAMES, persistent=False)
        # Counts the beats up to each frame. A beat in the first frame does not count: a segment begins there anyway.
        counting = torch.ones(FRAMES, FRAMES).triu()
        counting[0] = 0.0
        self.register_buffer("counting", counting, persistent=False)

    def forward(self, feature: Tensor, beats: Tensor) -> Tensor:
        """Feature (batch, rows, 130) and beats, bool (batch, 130), to (batch, rows, 130)."""
        segment = torch.matmul(beats.to(feature.dtype), self.counting)
        segments = segment[:, -1:] + 1.0
        length = (segment[:, :, None] == segment[:, None, :]).to(feature.dtype).sum(dim=2)
        position = torch.minimum((self.columns * segments - 0.5).clamp(min=0.0), segments - 1.0)
        weight = torch.relu(1.0 - (position[:, None, :] - segment[:, :, None]).abs()) / length[:, :, None]
        return torch.matmul(feature, weight)


def resize_rows(old: int, new: int) -> Tensor:
    """Matrix (new, old) of a bilinear resize, `torch.nn.functional.interpolate(align_corners=False)`."""
    identity = torch.eye(old)[None]
    return nn.functional.interpolate(identity, size=new, mode="linear", align_corners=False)[0].T.contiguous()
