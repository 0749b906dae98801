"""Waveform chunks to the log-mel spectrogram that the pre-trained body listens to, by convolutions and products alone.

The body (Pons and Serra 2019) knows 16 kHz audio: 512-sample Hann frames every 256, 96 mel bands. Chunks come at
22 050 Hz, so resampling is part of the graph: a polyphase filter, written as five small convolutions.
"""

import librosa
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genre_classifier.audio import CHUNK_SAMPLES
from train.features.spectrum import constant, four_step_matrices

BODY_RATE = 16_000  # Hz, what the body was trained on
UP, DOWN = 320, 441  # 16 000 / 22 050 in lowest terms
RESAMPLED = CHUNK_SAMPLES // DOWN * UP  # 48_000 samples in a chunk at 16 kHz
N_FFT = 512
HOP = N_FFT // 2  # 256
FRAMES = RESAMPLED // HOP  # 187 whole hops in a chunk; the body takes as many centred frames
BANDS = 96
GAIN = 10_000.0  # log10(1 + GAIN * power)

ROWS, COLUMNS = 64, 8  # N_FFT = ROWS x COLUMNS: sample n = COLUMNS * row + column
HALF_ROWS = ROWS // 2 + 1  # 33: of a real signal's first transform, the rest are conjugates

TAPS = 32  # input samples that a resampled one hears on either side
PHASES = UP // 5  # 64 output phases that one convolution makes: all their taps lie within 152 input samples
ROLL_OFF = 0.95  # middle of the filter's transition, of the new Nyquist frequency
KAISER_BETA = 9.0  # the stop band is 90 dB down


class Resample(nn.Module):
    """22 050 Hz to 16 kHz: a Kaiser-windowed sinc, applied as a polyphase convolution of 320 phases, stride 441."""

    def __init__(self) -> None:
        super().__init__()
        self.phases = nn.ModuleList(Phases(first) for first in range(0, UP, PHASES))

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, 66150) at 22 050 Hz to (batch, 48000) at 16 kHz; zeros are heard beyond the ends."""
        padded = nn.functional.pad(waveform, (TAPS, TAPS))[:, None]
        resampled = torch.cat([phases(padded) for phases in self.phases], dim=1)  # (batch, phase, period)
        return resampled.transpose(1, 2).reshape(-1, RESAMPLED)


class Phases(nn.Module):
    """Output samples `first` to `first + 63` of every 320."""

    kernel: Tensor

    def __init__(self, first: int) -> None:
        super().__init__()
        places = np.arange(first, first + PHASES) * DOWN / UP  # of the outputs, in input samples
        self.begin = int(places[0])
        taps = np.arange(self.begin - TAPS, int(places[-1]) + TAPS + 1)
        self.register_buffer("kernel", constant(low_pass(places[:, None] - taps)[:, None]), persistent=False)
        # As much of the padded waveform as 150 periods need.
        self.end = self.begin + (RESAMPLED // UP - 1) * DOWN + len(taps)

    def forward(self, padded: Tensor) -> Tensor:
        """Padded waveform (batch, 1, 66214) to (batch, 64, 150)."""
        return nn.functional.conv1d(padded[:, :, self.begin : self.end], self.kernel, stride=DOWN)


def low_pass(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Impulse response of the resampling filter at distances in input samples, zero beyond `TAPS`."""
    cutoff = ROLL_OFF * UP / DOWN  # of the old Nyquist frequency
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (distance / TAPS) ** 2, 0, None))) / np.i0(KAISER_BETA)
    response: NDArray[np.float64] = cutoff * np.sinc(cutoff * distance) * window * (np.abs(distance) <= TAPS)
    return response


class LogMel(nn.Module):
    """log10(1 + 10000 * `librosa.feature.melspectrogram(sr=16000, n_fft=512, hop_length=256, n_mels=96)`)."""

    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.resample = Resample()
        self.power = FramePower()
        filters = np.zeros((BANDS, COLUMNS * HALF_ROWS))
        bins, rows = np.unique(frame_bins(), return_index=True)  # rows that repeat a bin keep weight zero
        filters[:, rows] = librosa.filters.mel(sr=BODY_RATE, n_fft=N_FFT, n_mels=BANDS)[:, bins]
        self.register_buffer("filters", constant(filters), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, 66150) at 22 050 Hz to log-mel (batch, 96, 187)."""
        mel = torch.matmul(self.filters, self.power(self.resample(waveform)))
        return torch.log10(1.0 + GAIN * mel)


class FramePower(nn.Module):
    """Power spectrum of centred Hann frames, `abs(librosa.stft(y, n_fft=512, hop_length=256)) ** 2`, in bands' order.

    A four-step FFT as `train.features.spectrum.PowerSpectrum`, 512 = 64 x 8; `frame_bins()` gives the bin of each row.
    """

    first: Tensor
    second: Tensor

    def __init__(self) -> None:
        super().__init__()
        first, second = four_step_matrices(ROWS, np.arange(COLUMNS))
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)

    def forward(self, resampled: Tensor) -> Tensor:
        """Samples (batch, 48000) to power (batch, 264, 187)."""
        padded = nn.functional.pad(resampled, (HOP, FRAMES * HOP - RESAMPLED))  # the last half hop is in no frame
        hops = padded.reshape(-1, FRAMES + 1, HOP).transpose(1, 2)
        hops = hops.reshape(-1, ROWS // 2, COLUMNS, FRAMES + 1).transpose(1, 2)
        frames = torch.cat([hops[..., :FRAMES], hops[..., 1:]], dim=2)  # (batch, column, row, frame)
        partial = torch.matmul(self.first, frames)  # (batch, column, 2 * k1, frame)
        spectrum = torch.matmul(self.second, partial.reshape(-1, 2 * COLUMNS, HALF_ROWS * FRAMES))
        power = (spectrum * spectrum).reshape(-1, 2, COLUMNS, HALF_ROWS * FRAMES).sum(dim=1)
        return power.reshape(-1, COLUMNS * HALF_ROWS, FRAMES)


def frame_bins() -> NDArray[np.int64]:
    """Bin of the 512-point transform that each row of `FramePower` holds, int64 (264,); seven stand there twice."""
    bins = (np.arange(HALF_ROWS)[None, :] + ROWS * np.arange(COLUMNS)[:, None]).ravel()
    return np.where(bins <= N_FFT // 2, bins, N_FFT - bins)
