"""Augmentation: crops of the waveform, and masks and mixtures of a network's inputs."""

import math
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from torch import Tensor
from torch.utils.data import Dataset

from genre_classifier.audio import CHUNK_SAMPLES, SAMPLE_RATE
from train.config import Config
from train.data.chunks import Chunks
from train.data.clips import Waveform

TAPS = 24  # samples on either side that `stretch` hears
ROLL_OFF = 0.95  # middle of its filter's transition, of the Nyquist frequency


@dataclass(frozen=True)
class Crops(Dataset[Tensor]):
    """Crops of three seconds near the chunks, each with its own gain and speed.

    The key of an item is a chunk's index and a serial number. The same key always gives the same crop.
    """

    chunks: Chunks
    config: Config
    divided: bool = False
    """Whether chunks of one clip may be in different parts of the split; then no crop may leave its chunk."""

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        """The crop (66150,) for a chunk's index and a serial number."""
        piece, speed, gain = self.draw(key)
        if speed != 1.0:
            # Like a tape that runs faster or slower: tempo and pitch change together.
            piece = np.resize(soxr.resample(piece, speed, 1.0, "MQ"), CHUNK_SAMPLES)
        return torch.from_numpy(piece * np.float32(gain))

    def draw(self, key: tuple[int, int]) -> tuple[Waveform, float, float]:
        """What to play for a key, how fast and how loud."""
        rng = np.random.default_rng((self.config.seed, *key))
        clip, start = self.chunks.positions[key[0]]
        source = self.chunks.waveforms[clip]
        if self.divided:
            source, start = source[start : start + CHUNK_SAMPLES], 0
        speed = math.exp(rng.uniform(-1, 1) * self.config.speed)
        length = math.ceil(CHUNK_SAMPLES * speed)
        start += round(rng.uniform(-1, 1) * self.config.crop * SAMPLE_RATE)
        piece = cut(source, min(start, len(source) - length), length)
        return piece, speed, 10 ** (rng.uniform(-1, 1) * self.config.gain / 20)


@dataclass(frozen=True)
class Pieces(Dataset[tuple[Tensor, float, float]]):
    """What `Crops` plays, as it lies in the clip: `stretch` plays whole batches of it on a GPU."""

    crops: Crops

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, float, float]:
        """A piece of a clip with zeros behind it, how fast to play it, and how loud."""
        piece, speed, gain = self.crops.draw(key)
        longest = math.ceil(CHUNK_SAMPLES * math.exp(self.crops.config.speed))
        return torch.from_numpy(np.pad(piece, (0, longest - len(piece)))), speed, gain


def stretch(pieces: Tensor, speed: Tensor, gain: Tensor) -> Tensor:
    """Play pieces (batch, samples), each at its speed and level, both (batch,): crops (batch, 66150).

    Interpolates by a windowed sinc, as soxr does on a CPU; a piece that is played faster is low-pass filtered first.
    """
    position = torch.arange(CHUNK_SAMPLES, device=pieces.device, dtype=torch.float64) * speed.double()[:, None]
    first = position.floor().long()
    offset = (position - first).to(pieces.dtype)
    cutoff = (ROLL_OFF / speed.clamp(min=1.0)).to(pieces.dtype)[:, None]
    played = torch.zeros_like(offset)
    for tap in range(1 - TAPS, TAPS + 1):
        distance = tap - offset
        window = torch.cos(math.pi / 2 * distance / TAPS) ** 2  # Hann's
        index = first + tap
        inside = (index >= 0) & (index < pieces.shape[1])
        sample = pieces.gather(1, index.clamp(0, pieces.shape[1] - 1)) * inside
        played += sample * window * cutoff * torch.sinc(cutoff * distance)
    return torch.where(speed[:, None] == 1.0, pieces[:, :CHUNK_SAMPLES], played) * gain.to(pieces.dtype)[:, None]


def cut(waveform: Waveform, start: int, length: int) -> Waveform:
    """`length` samples from `start`, or from the beginning if start is negative; a short waveform is repeated."""
    piece = waveform[max(start, 0) :][:length]
    return piece if len(piece) == length else np.resize(waveform, length)


def mask(image: Tensor, frames: int, coefficients: int) -> Tensor:
    """Set a band of frames and a band of coefficients of each standardised image (batch, 5, 40, 130) to zero.

    SpecAugment (Park et al. 2019); zero is the mean of a standardised image.
    """
    for longest, axis in ((frames, 3), (coefficients, 2)):
        if not longest:
            continue
        size, count = image.shape[axis], image.shape[0]
        length = torch.rand(count) * longest
        start = torch.rand(count) * (size - length)
        index = torch.arange(size)
        kept = (index < start[:, None]) | (index >= (start + length)[:, None])
        shape = [count, 1, 1, 1]
        shape[axis] = size
        image = image * kept.reshape(shape).to(image)
    return image


def mix(inputs: Tensor, target: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018): average each input and target with another, weighted by Beta(alpha, alpha)."""
    if not alpha or len(inputs) == 1:
        return inputs, target
    share = torch.distributions.Beta(alpha, alpha).sample((len(inputs), 1)).to(inputs.device)
    other = torch.randperm(len(inputs), device="cpu").to(inputs.device)
    weight = share.reshape(-1, *[1] * (inputs.dim() - 1))
    return weight * inputs + (1 - weight) * inputs[other], share * target + (1 - share) * target[other]
