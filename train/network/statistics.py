"""A network with one hidden layer over statistics of the five feature images."""

import math

import torch
from torch import Tensor, nn

from train.features import CHANNELS, Features
from train.features.spectrum import FRAMES, N_MELS, N_MFCC
from train.network.base import EmbeddingClassifier, GenreNet, Standardise

BANDS = 24  # log-mel bands, computed back from the MFCC
# Edges of modulation bands, in cycles per chunk (0.33 Hz); higher bands are wider.
MODULATIONS = (1, 2, 3, 4, 6, 8, 11, 16, 22, 32, 46, 65)
PAIRED = 2  # neighbouring log-mel bands whose modulation is averaged
STATISTICS = 2 * CHANNELS * N_MFCC + BANDS // PAIRED * (len(MODULATIONS) - 1) + BANDS * (BANDS - 1) // 2  # 808

# Floors in dB squared: far below what is audible, far above the rounding of float32.
VARIANCE_FLOOR = 1e-2
POWER_FLOOR = 1e-3


class Statistics(nn.Module):
    """Statistics of a feature image over time, without anything to train.

    In this order: mean and standard deviation of each of the 200 rows; the modulation spectrum in log power of 12 pairs
    of log-mel bands, in 11 frequency bands from 0.33 to 21 Hz (beats, bars, syllables); the correlation of every two of
    the 24 log-mel bands. The log-mel bands are the inverse cosine transform of the MFCC, whose 40 coefficients allow no
    finer resolution.
    """

    bands: Tensor
    waves: Tensor
    averages: Tensor
    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        centre = (torch.arange(BANDS, dtype=torch.float64) + 0.5) / BANDS
        order = torch.arange(N_MFCC, dtype=torch.float64)
        bands = torch.cos(math.pi * centre[:, None] * order) * math.sqrt(2 / N_MELS)
        bands[:, 0] /= math.sqrt(2)
        self.register_buffer("bands", bands.float(), persistent=False)
        cycles = torch.arange(MODULATIONS[0], MODULATIONS[-1], dtype=torch.float64)
        angle = 2 * math.pi * cycles * torch.arange(FRAMES, dtype=torch.float64)[:, None] / FRAMES
        window = torch.hann_window(FRAMES, dtype=torch.float64)[:, None] / FRAMES
        waves = torch.cat([torch.cos(angle) * window, torch.sin(angle) * window], dim=1)  # (130, 128)
        self.register_buffer("waves", waves.float(), persistent=False)
        edges = torch.tensor(MODULATIONS)
        inside = (cycles[:, None] >= edges[:-1]) & (cycles[:, None] < edges[1:])
        self.register_buffer("averages", inside.float() / inside.sum(dim=0), persistent=False)  # (64, 11)
        one, other = torch.triu_indices(BANDS, BANDS, 1)
        self.register_buffer("pairs", one * BANDS + other, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, 5, 40, 130) to statistics (batch, 808)."""
        rows = features.flatten(1, 2)
        mean = rows.mean(dim=2, keepdim=True)
        deviation = (rows - mean).square().mean(dim=2).sqrt()
        bands = torch.matmul(self.bands, features[:, 0])
        bands = bands - bands.mean(dim=2, keepdim=True)
        return torch.cat([mean[..., 0], deviation, self.modulation(bands), self.correlation(bands)], dim=1)

    def modulation(self, bands: Tensor) -> Tensor:
        """Log modulation power of each pair of centred bands: (batch, 24, 130) to (batch, 132)."""
        cosine, sine = torch.matmul(bands, self.waves).chunk(2, dim=2)
        power = torch.matmul(cosine.square() + sine.square(), self.averages)
        logarithm = (power + POWER_FLOOR).log().reshape(-1, BANDS // PAIRED, PAIRED, len(MODULATIONS) - 1)
        return logarithm.mean(dim=2).flatten(1)

    def correlation(self, bands: Tensor) -> Tensor:
        """Pearson correlation of every two centred bands: (batch, 24, 130) to (batch, 276); 0 for a constant band."""
        covariance = torch.matmul(bands, bands.transpose(1, 2)) / FRAMES
        variance = bands.square().mean(dim=2).clamp(min=VARIANCE_FLOOR)
        scale = (variance[:, :, None] * variance[:, None, :]).sqrt()
        return (covariance / scale).flatten(1).index_select(1, self.pairs)


class StatisticsMLP(EmbeddingClassifier):
    """One hidden layer over the statistics, with dropout of a half on both; 105 098 parameters for ten genres."""

    def __init__(self, labels: int = 10) -> None:
        super().__init__(STATISTICS, labels, dropout=0.5)
        self.thin = nn.Dropout(0.5)

    def pool(self, inputs: Tensor) -> Tensor:
        """Statistics (batch, 808) to the same; training sets half of them to zero."""
        half: Tensor = self.thin(inputs)
        return half


def build(labels: int) -> GenreNet:
    """The network; each statistic is standardised."""
    return GenreNet(nn.Sequential(Features(), Statistics()), Standardise((STATISTICS,)), StatisticsMLP(labels))
