"""Tuning estimate and chroma of a power spectrum, as in `librosa.feature.chroma_stft`."""

import librosa
import numpy as np
import torch
from torch import Tensor, nn

from genre_classifier.audio import SAMPLE_RATE
from train.features.spectrum import BINS, FRAMES, N_FFT, constant, spectrum_bins, spectrum_rows

N_CHROMA = 12
A0_HZ = 27.5  # four octaves below A 440; librosa counts octaves from here
FAR_OCTAVES = 1e3  # so many octaves away, a bin has weight zero
PITCH_HZ = (150.0, 4000.0)  # the range of librosa.piptrack
PEAK_FLOOR = 0.1  # a peak must exceed this share of its frame's maximum
TUNINGS = 100  # histogram bins, each a hundredth of a semitone, from -0.5
OCTAVE_CENTRE, OCTAVE_WIDTH = 5.0, 2.0  # librosa.filters.chroma's weight over octaves, a Gaussian


class Tuning(nn.Module):
    """Deviation from A 440 in semitones, `librosa.estimate_tuning(S=power)`."""

    bins: Tensor
    numbers: Tensor

    def __init__(self) -> None:
        super().__init__()
        frequencies = librosa.fft_frequencies(sr=SAMPLE_RATE, n_fft=N_FFT)
        inside = np.flatnonzero((frequencies >= PITCH_HZ[0]) & (frequencies < PITCH_HZ[1]))  # 14..371, an even number
        around = np.arange(inside[0] - 1, inside[-1] + 2)
        self.register_buffer("bins", torch.from_numpy(spectrum_rows()[around]), persistent=False)
        self.register_buffer("numbers", torch.from_numpy(inside).double(), persistent=False)

    def forward(self, power: Tensor) -> Tensor:
        """Power (batch, 1056, 130) to tuning (batch,) in [-0.5, 0.5), one of a hundred values."""
        chunk, pitch, height = self.peaks(power)
        # Few bins are peaks. The rest works on the peaks of all chunks together, not on every bin.
        batch = power.shape[0]
        found = torch.zeros(batch, dtype=torch.int64, device=power.device).scatter_add(0, chunk, torch.ones_like(chunk))
        kept = height >= median_by_chunk(height, chunk, found)[chunk]
        semitones = 12.0 * torch.log2(pitch / A0_HZ)
        # Distance from the nearest semitone, -0.5 to 0.5, then its histogram bin.
        residual = semitones - torch.floor(semitones + 0.5)
        index = torch.floor((residual + 0.5) * TUNINGS).long().clamp(0, TUNINGS - 1)
        histogram = torch.zeros(batch * TUNINGS, device=power.device)
        histogram = histogram.scatter_add(0, chunk * TUNINGS + index, kept.to(histogram.dtype))
        best = histogram.reshape(-1, TUNINGS).argmax(dim=1)
        return torch.where(found > 0, best.to(power.dtype) / TUNINGS - 0.5, 0.0)

    def peaks(self, power: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Spectral peaks by parabolic interpolation, `librosa.piptrack`.

        Power (batch, 1056, 130) to the chunk, pitch in Hz and height of each peak, all (peaks,).
        """
        floor = PEAK_FLOOR * power.amax(dim=1, keepdim=True)
        around = power.index_select(1, self.bins)
        rises = around[:, 1:] > around[:, :-1]
        # librosa sets neighbours under the floor to zero. That changes nothing, because the peak is above the floor.
        is_peak = (around[:, 1:-1] > floor) & rises[:, :-1] & ~rises[:, 1:]
        # Flat indices: one number per peak, from which the indices of its neighbours follow.
        found = is_peak.flatten().nonzero()[:, 0]
        rows = is_peak.shape[1]
        chunk, row, frame = found // (rows * FRAMES), found // FRAMES % rows, found % FRAMES
        index = (chunk * (rows + 2) + row) * FRAMES + frame
        values = around.flatten()
        below, here, above = values[index], values[index + FRAMES], values[index + 2 * FRAMES]
        curvature = above + below - 2.0 * here
        slope = (above - below) / 2.0
        inside = slope.abs() < curvature.abs()
        shift = torch.where(inside, -slope / torch.where(inside, curvature, 1.0), 0.0)
        pitch = (self.numbers[row] + shift) * (SAMPLE_RATE / N_FFT)
        return chunk, pitch.to(power.dtype), here + 0.5 * slope * shift


def median_by_chunk(values: Tensor, chunk: Tensor, count: Tensor) -> Tensor:
    """Median of the values of each chunk, (batch,); undefined for a chunk that has no values.

    Args:
        values: positive, (n,).
        chunk: int64 (n,), the chunk of each value.
        count: int64 (batch,), the number of values of each chunk.
    """
    # One sort serves all chunks. The key is the logarithm plus 512 times the chunk's number, and the logarithms of all
    # positive float32 lie within less than 512.
    key = chunk.double() * 512.0 + torch.log2(values.double())
    order = torch.argsort(torch.cat([key, key.new_full((1,), torch.inf)]))  # one more, so that the sort is never empty
    ranked = torch.cat([values, values.new_zeros(1)])[order]
    start = torch.cumsum(count, 0) - count
    low, high = start + (count - 1).clamp(min=0) // 2, start + count // 2
    return (ranked[low] + ranked[high]) / 2.0


class Chroma(nn.Module):
    """Chroma vectors, `librosa.feature.chroma_stft(S=power, tuning=tuning)`."""

    semitones: Tensor
    spread: Tensor
    octaves: Tensor

    def __init__(self) -> None:
        super().__init__()
        frequencies = np.linspace(0, SAMPLE_RATE, N_FFT, endpoint=False)[1:]
        semitones = N_CHROMA * np.log2(frequencies / A0_HZ)
        # librosa places the bin of 0 Hz 1.5 octaves below the first bin.
        semitones = np.concatenate([[semitones[0] - 1.5 * N_CHROMA], semitones])
        width = np.maximum(np.diff(semitones), 1.0)[:BINS]
        semitones = semitones[:BINS]
        # Chroma counts from C, octaves count from A: three semitones apart.
        classes = (np.arange(N_CHROMA) + 3) % N_CHROMA
        octaves = semitones / N_CHROMA - OCTAVE_CENTRE
        # In the row order of the power spectrum. A row that repeats a bin is moved far away, so its weight is zero.
        bins = spectrum_bins()
        octaves = np.where(np.isin(np.arange(len(bins)), spectrum_rows()), octaves[bins], FAR_OCTAVES)
        self.register_buffer("semitones", constant(semitones[bins] - classes[:, None]), persistent=False)
        self.register_buffer("spread", constant(-2.0 / width[bins] ** 2), persistent=False)
        self.register_buffer("octaves", constant(octaves), persistent=False)

    def forward(self, power: Tensor, tuning: Tensor) -> Tensor:
        """Power (batch, 1056, 130) and tuning (batch,) to chroma (batch, 12, 130), each frame's maximum 1."""
        raw = torch.matmul(self.filters(tuning), power)
        loudest = raw.amax(dim=1, keepdim=True)
        # As in librosa, a frame below the smallest normal float is not normalised.
        return raw / torch.where(loudest < torch.finfo(raw.dtype).tiny, 1.0, loudest)

    def filters(self, tuning: Tensor) -> Tensor:
        """Filter bank `librosa.filters.chroma(tuning=tuning)` of each chunk: (batch,) to (batch, 12, 1056)."""
        distance = self.semitones - tuning[:, None, None]
        distance = distance + 6.0 - 12.0 * torch.floor((distance + 6.0) / 12.0) - 6.0
        bumps = torch.exp(self.spread * distance * distance)
        octave = self.octaves - tuning[:, None, None] / N_CHROMA
        weight = torch.exp(-0.5 / OCTAVE_WIDTH**2 * octave * octave)
        return bumps * (weight * torch.rsqrt((bumps * bumps).sum(dim=1, keepdim=True)))
