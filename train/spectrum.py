"""Waveform chunks to power spectra, mel decibels and MFCC, by matrix products alone.

ONNX Runtime has no CUDA kernel for its STFT and DFT operators and slow CPU ones, so the Fourier transform is written
as a four-step FFT: 2048 = 64 x 32, two matrix products. Every tensor keeps time last, (batch, frequency, frame), so
that no spectrum is ever transposed.
"""

from functools import reduce
from itertools import pairwise

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

ROWS, COLUMNS = 64, 32  # N_FFT = ROWS x COLUMNS: sample n = COLUMNS * row + column
HALF_ROWS = ROWS // 2 + 1  # 33: of a real signal's first transform, the rest are conjugates
HOPS_PER_FRAME = N_FFT // HOP  # 4
ROWS_PER_HOP = HOP // COLUMNS  # 16
PADDED_HOPS = FRAMES - 1 + HOPS_PER_FRAME  # 133 hops of samples are covered by some frame
BAND_EDGES = (0, 4 * HALF_ROWS, 12 * HALF_ROWS, COLUMNS * HALF_ROWS)  # rows at 0, 1378, 4134 and 11 025 Hz


class PowerSpectrum(nn.Module):
    """Hann-windowed power spectrum, `abs(librosa.stft(y)) ** 2`, with its bins in the order `spectrum_bins()`."""

    first: Tensor
    second: Tensor

    def __init__(self) -> None:
        super().__init__()
        window = librosa.filters.get_window("hann", N_FFT).reshape(ROWS, COLUMNS)
        row, column = np.arange(ROWS), np.arange(COLUMNS)
        k1, k2 = np.arange(HALF_ROWS), _second_order()
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
        """Waveform (batch, 66150) to power (batch, 1056, 130); 31 of the 1025 bins stand there twice."""
        left = N_FFT // 2  # centred frames, zeros beyond the ends
        waveform = waveform.clamp(-LOUDEST, LOUDEST)
        padded = nn.functional.pad(waveform, (left, PADDED_HOPS * HOP - left - CHUNK_SAMPLES))
        # Transposed before the frames overlap, a quarter of the work of transposing the frames; and in two steps, of a
        # matrix and of whole rows, four times as fast as in one.
        hops = padded.reshape(-1, PADDED_HOPS, HOP).transpose(1, 2)
        hops = hops.reshape(-1, ROWS_PER_HOP, COLUMNS, PADDED_HOPS).transpose(1, 2)
        frames = torch.cat([hops[..., hop : hop + FRAMES] for hop in range(HOPS_PER_FRAME)], dim=2)
        partial = torch.matmul(self.first, frames)  # (batch, column, 2 * k1, frame)
        spectrum = torch.matmul(self.second, partial.reshape(-1, 2 * COLUMNS, HALF_ROWS * FRAMES))
        power = (spectrum * spectrum).reshape(-1, 2, COLUMNS, HALF_ROWS * FRAMES).sum(dim=1)
        return power.reshape(-1, COLUMNS * HALF_ROWS, FRAMES)


def _second_order() -> np.ndarray:
    """Order of the second product's rows, k2: 0, 31, 1, 30, ..., 15, 16.

    Row k2 holds bins 64 k2 to 64 k2 + 32; beyond the middle they are conjugates of lower bins. So ordered, each pair of
    rows holds the 64 bins after those of the pair before it.
    """
    ascending = np.arange(COLUMNS // 2)
    return np.stack([ascending, COLUMNS - 1 - ascending], axis=1).reshape(COLUMNS)


def spectrum_bins() -> np.ndarray:
    """Bin of `librosa.stft` that each row of `PowerSpectrum` holds, int64 (1056,)."""
    bins: np.ndarray = (np.arange(HALF_ROWS)[None, :] + ROWS * _second_order()[:, None]).ravel()
    return np.where(bins < BINS, bins, N_FFT - bins)


def spectrum_rows() -> np.ndarray:
    """First row of `PowerSpectrum` that holds each bin of `librosa.stft`, int64 (1025,)."""
    return np.unique(spectrum_bins(), return_index=True)[1]


class MelDecibels(nn.Module):
    """Mel spectrogram in decibels, `librosa.power_to_db(librosa.feature.melspectrogram(...))`."""

    def __init__(self) -> None:
        super().__init__()
        filters = np.zeros((N_MELS, HALF_ROWS * COLUMNS))
        # Rows that repeat a bin keep weight zero.
        filters[:, spectrum_rows()] = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS)
        # A filter is zero but in its band, so the product is taken band by band, each with the filters that it has.
        self.bands = nn.ModuleList(MelBand(filters, begin, end) for begin, end in pairwise(BAND_EDGES))

    def forward(self, power: Tensor) -> Tensor:
        """Power (batch, 1056, 130) to decibels (batch, 128, 130), at most 80 dB below the chunk's loudest."""
        mel = reduce(torch.add, [band(power) for band in self.bands])
        decibels = 10.0 * torch.log10(torch.clamp(mel, min=AMIN))
        return torch.maximum(decibels, decibels.amax(dim=(1, 2), keepdim=True) - TOP_DB)


class MelBand(nn.Module):
    """What the rows of a power spectrum from one to another add to the mel spectrogram."""

    filters: Tensor

    def __init__(self, filters: np.ndarray, begin: int, end: int) -> None:
        """`filters` is the whole bank, (128, 1056)."""
        super().__init__()
        present = np.flatnonzero(filters[:, begin:end].any(axis=1))
        self.rows = slice(begin, end)
        self.first, self.beyond = int(present[0]), int(present[-1]) + 1
        self.register_buffer("filters", constant(filters[self.first : self.beyond, self.rows]), persistent=False)

    def forward(self, power: Tensor) -> Tensor:
        """Power (batch, 1056, 130) to (batch, 128, 130), zero where the band has no filter."""
        mel = torch.matmul(self.filters, power[:, self.rows])
        return nn.functional.pad(mel, (0, 0, self.first, N_MELS - self.beyond))


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
