"""Waveform chunks to power spectra, mel decibels and MFCC, with matrix products only.

ONNX Runtime has no CUDA kernel for its STFT and DFT operators, and its CPU kernels are slow. So the Fourier transform
is a four-step FFT: 2048 = 64 x 32, two matrix products. Every tensor keeps time last, (batch, frequency, frame), so no
spectrum is ever transposed.
"""

from functools import reduce
from itertools import pairwise

import librosa
import numpy as np
import scipy.fft
import torch
from torch import Tensor, nn

from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE

N_FFT = 2048
HOP = 512
FRAMES = 1 + CHUNK_SAMPLES // HOP  # 130 frames in a chunk
BINS = 1 + N_FFT // 2  # 1025
N_MELS = 128
N_MFCC = 40
TOP_DB = 80.0
AMIN = 1e-10  # smallest power that is converted to decibels
MAX_AMPLITUDE = 1e15  # beyond it the power of a frame overflows float32; music is far below

ROWS, COLUMNS = 64, 32  # N_FFT = ROWS x COLUMNS: sample n = COLUMNS * row + column
HALF_ROWS = ROWS // 2 + 1  # 33: the signal is real, so the other rows of the first transform are conjugates
HOPS_PER_FRAME = N_FFT // HOP  # 4
ROWS_PER_HOP = HOP // COLUMNS  # 16
PADDED_HOPS = FRAMES - 1 + HOPS_PER_FRAME  # 133 hops of samples lie in at least one frame
BAND_EDGES = (0, 4 * HALF_ROWS, 12 * HALF_ROWS, COLUMNS * HALF_ROWS)  # rows at 0, 1378, 4134 and 11 025 Hz


class PowerSpectrum(nn.Module):
    """Hann-windowed power spectrum, `abs(librosa.stft(y)) ** 2`, with its bins in the order `spectrum_bins()`."""

    first: Tensor
    second: Tensor

    def __init__(self) -> None:
        super().__init__()
        first, second = four_step_matrices(ROWS, _second_order())
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, 66150) to power (batch, 1056, 130); 31 of the 1025 bins appear twice."""
        left = N_FFT // 2  # frames are centred, with zeros beyond both ends
        waveform = waveform.clamp(-MAX_AMPLITUDE, MAX_AMPLITUDE)
        padded = nn.functional.pad(waveform, (left, PADDED_HOPS * HOP - left - CHUNK_SAMPLES))
        # Transposing hops, before the frames overlap, is a quarter of the work of transposing frames. Two transposes,
        # of a matrix and of whole rows, are four times as fast as one.
        hops = padded.reshape(-1, PADDED_HOPS, HOP).transpose(1, 2)
        hops = hops.reshape(-1, ROWS_PER_HOP, COLUMNS, PADDED_HOPS).transpose(1, 2)
        frames = torch.cat([hops[..., hop : hop + FRAMES] for hop in range(HOPS_PER_FRAME)], dim=2)
        partial = torch.matmul(self.first, frames)  # (batch, column, 2 * k1, frame)
        spectrum = torch.matmul(self.second, partial.reshape(-1, 2 * COLUMNS, HALF_ROWS * FRAMES))
        power = (spectrum * spectrum).reshape(-1, 2, COLUMNS, HALF_ROWS * FRAMES).sum(dim=1)
        return power.reshape(-1, COLUMNS * HALF_ROWS, FRAMES)


def four_step_matrices(rows: int, second_order: np.ndarray) -> tuple[Tensor, Tensor]:
    """The two products of a Hann-windowed four-step FFT of rows x columns samples, the first over rows.

    Args:
        rows: sample n = columns * row + column.
        second_order: k2 of each row of the second product, (columns,); bin k = k1 + rows * k2.

    Returns:
        (columns, 2 * (rows / 2 + 1), rows) and (2 * columns, 2 * columns).
    """
    columns = len(second_order)
    size = rows * columns
    window = librosa.filters.get_window("hann", size).reshape(rows, columns)
    row, column, k1 = np.arange(rows), np.arange(columns), np.arange(rows // 2 + 1)
    # The sum over rows comes first, so window and twiddle factors fold into this product:
    # first[column, k1, row] = window * exp(-2 pi i k1 (columns * row + column) / size)
    sample = columns * row[None, None, :] + column[:, None, None]
    first = window.T[:, None, :] * np.exp(-2j * np.pi * k1[None, :, None] * sample / size)
    # The second product sums over (column, real or imaginary). It gives all real parts, then all imaginary parts.
    second = np.exp(-2j * np.pi * np.outer(second_order, column) / columns)
    real = np.stack([second.real, -second.imag], axis=2).reshape(columns, 2 * columns)
    imag = np.stack([second.imag, second.real], axis=2).reshape(columns, 2 * columns)
    return constant(np.concatenate([first.real, first.imag], axis=1)), constant(np.concatenate([real, imag]))


def _second_order() -> np.ndarray:
    """Order of the second product's rows, k2: 0, 31, 1, 30, ..., 15, 16.

    Row k2 holds bins 64 k2 to 64 k2 + 32; in the upper half of the rows these are conjugates of lower bins. In this
    order, each pair of rows holds the next 64 bins.
    """
    ascending = np.arange(COLUMNS // 2)
    return np.stack([ascending, COLUMNS - 1 - ascending], axis=1).reshape(COLUMNS)


def spectrum_bins() -> np.ndarray:
    """The bin of `librosa.stft` in each row of `PowerSpectrum`, int64 (1056,)."""
    bins: np.ndarray = (np.arange(HALF_ROWS)[None, :] + ROWS * _second_order()[:, None]).ravel()
    return np.where(bins < BINS, bins, N_FFT - bins)


def spectrum_rows() -> np.ndarray:
    """The first row of `PowerSpectrum` for each bin of `librosa.stft`, int64 (1025,)."""
    return np.unique(spectrum_bins(), return_index=True)[1]


class MelDecibels(nn.Module):
    """Mel spectrogram in decibels, `librosa.power_to_db(librosa.feature.melspectrogram(...))`."""

    def __init__(self) -> None:
        super().__init__()
        filters = np.zeros((N_MELS, HALF_ROWS * COLUMNS))
        # Rows that repeat a bin have weight zero.
        filters[:, spectrum_rows()] = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS)
        # A filter is zero outside its band. So the product is taken band by band, with the filters of that band only.
        self.bands = nn.ModuleList(MelBand(filters, begin, end) for begin, end in pairwise(BAND_EDGES))

    def forward(self, power: Tensor) -> Tensor:
        """Power (batch, 1056, 130) to decibels (batch, 128, 130), no lower than 80 dB below the chunk's peak."""
        mel = reduce(torch.add, [band(power) for band in self.bands])
        decibels = 10.0 * torch.log10(torch.clamp(mel, min=AMIN))
        return torch.maximum(decibels, decibels.amax(dim=(1, 2), keepdim=True) - TOP_DB)


class MelBand(nn.Module):
    """The contribution of a range of spectrum rows to the mel spectrogram."""

    filters: Tensor

    def __init__(self, filters: np.ndarray, begin: int, end: int) -> None:
        """`filters` is the whole filter bank, (128, 1056); the range is from row `begin` to before row `end`."""
        super().__init__()
        present = np.flatnonzero(filters[:, begin:end].any(axis=1))
        self.rows = slice(begin, end)
        self.first, self.beyond = int(present[0]), int(present[-1]) + 1
        self.register_buffer("filters", constant(filters[self.first : self.beyond, self.rows]), persistent=False)

    def forward(self, power: Tensor) -> Tensor:
        """Power (batch, 1056, 130) to (batch, 128, 130), zero for mel bands that have no filter here."""
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
        # A derivative is linear in time, so applying it to the identity gives its matrix.
        identity = np.eye(FRAMES)
        slopes = np.concatenate([librosa.feature.delta(identity, order=order) for order in (1, 2)], axis=1)
        self.register_buffer("slopes", constant(slopes), persistent=False)

    def forward(self, decibels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decibels (batch, 128, 130) to MFCC, delta and delta-delta, each (batch, 40, 130)."""
        mfcc = torch.matmul(self.cosines, decibels)
        slopes = torch.matmul(mfcc, self.slopes)
        return mfcc, slopes[..., :FRAMES], slopes[..., FRAMES:]


def constant(array: np.ndarray) -> Tensor:
    """A constant that was computed in float64, as a float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(array)).float()
