"""Waveform chunks to power spectra, mel decibels and MFCC, by matrix products alone.

ONNX Runtime has no CUDA kernel for its STFT and DFT operators and slow CPU ones, so the Fourier transform is written
as a four-step FFT: 2048 = 32 x 64, two matrix products. Every tensor keeps time last, (batch, frequency, frame), so
that no spectrum is ever transposed.
"""

import librosa
import numpy as np
import scipy.fft
import torch
from torch import Tensor, nn

from audio import CHUNK_SAMPLES, SAMPLE_RATE

N_FFT = 2048
HOP = 512
FRAMES = 1 + CHUNK_SAMPLES // HOP  # 130 frames in a chunk
BINS = 1 + N_FFT // 2  # 1025
N_MELS = 128
N_MFCC = 40
TOP_DB = 80.0
AMIN = 1e-10  # the least power that decibels are taken of
LOUDEST = 1e15  # amplitude beyond which the power of a frame would not fit a float32; no music comes near

ROWS, COLUMNS = 32, 64  # N_FFT = ROWS x COLUMNS: sample n = COLUMNS * row + column
HALF_ROWS = ROWS // 2 + 1  # 17: of a real signal's first transform, the rest are conjugates
HOPS_PER_FRAME = N_FFT // HOP  # 4
ROWS_PER_HOP = HOP // COLUMNS  # 8
PADDED_HOPS = FRAMES - 1 + HOPS_PER_FRAME  # 133 hops of samples are covered by some frame


class PowerSpectrum(nn.Module):
    """Hann-windowed power spectrum, `abs(librosa.stft(y)) ** 2`, with its bins in the order `spectrum_bins()`."""

    first: Tensor
    second: Tensor

    def __init__(self) -> None:
        super().__init__()
        window = librosa.filters.get_window("hann", N_FFT).reshape(ROWS, COLUMNS)
        row, column = np.arange(ROWS), np.arange(COLUMNS)
        k1, k2 = np.arange(HALF_ROWS), np.arange(COLUMNS)
        # Bin k = k1 + ROWS * k2. Summing over rows first, window and twiddle factors fold into the first product:
        # first[column, k1, row] = window * exp(-2 pi i k1 (COLUMNS * row + column) / N_FFT)
        sample = COLUMNS * row[None, None, :] + column[:, None, None]
        first = window.T[:, None, :] * np.exp(-2j * np.pi * k1[None, :, None] * sample / N_FFT)
        self.register_buffer("first", constant(np.concatenate([first.real, first.imag], axis=1)), persistent=False)
        # The second product runs over (column, real or imaginary) and gives the real parts, then the imaginary ones.
        second = np.exp(-2j * np.pi * np.outer(k2, column) / COLUMNS)
        real = np.stack([second.real, -second.imag], axis=2).reshape(COLUMNS, 2 * COLUMNS)
        imag = np.stack([second.imag, second.real], axis=2).reshape(COLUMNS, 2 * COLUMNS)
        self.register_buffer("second", constant(np.concatenate([real, imag])), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, 66150) to power (batch, 1088, 130); 63 of the 1088 bins stand there twice."""
        left = N_FFT // 2  # centred frames, zeros beyond the ends
        waveform = waveform.clamp(-LOUDEST, LOUDEST)
        padded = nn.functional.pad(waveform, (left, PADDED_HOPS * HOP - left - CHUNK_SAMPLES))
        # Transposed before the frames overlap, a quarter of the work of transposing the frames.
        hops = padded.reshape(-1, PADDED_HOPS, ROWS_PER_HOP, COLUMNS).permute(0, 3, 2, 1)
        frames = torch.cat([hops[..., hop : hop + FRAMES] for hop in range(HOPS_PER_FRAME)], dim=2)
        partial = torch.matmul(self.first, frames)  # (batch, column, 2 * k1, frame)
        spectrum = torch.matmul(self.second, partial.reshape(-1, 2 * COLUMNS, HALF_ROWS * FRAMES))
        squared = spectrum * spectrum
        power = squared[:, :COLUMNS] + squared[:, COLUMNS:]
        return power.reshape(-1, COLUMNS * HALF_ROWS, FRAMES)


def spectrum_bins() -> np.ndarray:
    """Bin of `librosa.stft` that each row of `PowerSpectrum` holds, int64 (1088,)."""
    bins = (np.arange(HALF_ROWS)[None, :] + ROWS * np.arange(COLUMNS)[:, None]).ravel()
    return np.where(bins < BINS, bins, N_FFT - bins)


def spectrum_rows() -> np.ndarray:
    """First row of `PowerSpectrum` that holds each bin of `librosa.stft`, int64 (1025,)."""
    return np.unique(spectrum_bins(), return_index=True)[1]


class MelDecibels(nn.Module):
    """Mel spectrogram in decibels, `librosa.power_to_db(librosa.feature.melspectrogram(...))`."""

    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        filters = np.zeros((N_MELS, HALF_ROWS * COLUMNS))
        # Rows that repeat a bin keep weight zero.
        filters[:, spectrum_rows()] = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS)
        self.register_buffer("filters", constant(filters), persistent=False)

    def forward(self, power: Tensor) -> Tensor:
        """Power (batch, 1088, 130) to decibels (batch, 128, 130), at most 80 dB below the chunk's loudest."""
        decibels = 10.0 * torch.log10(torch.clamp(torch.matmul(self.filters, power), min=AMIN))
        return torch.maximum(decibels, decibels.amax(dim=(1, 2), keepdim=True) - TOP_DB)


class Cepstrum(nn.Module):
    """MFCC and its two derivatives, `librosa.feature.mfcc(n_mfcc=40)` and `librosa.feature.delta`."""

    cosines: Tensor
    slopes: Tensor

    def __init__(self) -> None:
        super().__init__()
        cosines = scipy.fft.dct(np.eye(N_MELS), axis=0, norm="ortho")[:N_MFCC]
        self.register_buffer("cosines", constant(cosines), persistent=False)
        # A derivative is linear in time: its matrix is what it makes of the identity.
        identity = np.eye(FRAMES)
        slopes = np.concatenate([librosa.feature.delta(identity, order=order) for order in (1, 2)], axis=1)
        self.register_buffer("slopes", constant(slopes), persistent=False)

    def forward(self, decibels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decibels (batch, 128, 130) to MFCC, delta and delta-delta, each (batch, 40, 130)."""
        mfcc = torch.matmul(self.cosines, decibels)
        slopes = torch.matmul(mfcc, self.slopes)
        return mfcc, slopes[..., :FRAMES], slopes[..., FRAMES:]


def constant(array: np.ndarray) -> Tensor:
    """A module's constant, worked out in float64, as a float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(array)).float()
