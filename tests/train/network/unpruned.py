"""The network of musicnn (Pons and Serra 2019) as it is published, layer by layer, to judge the pruned body by.

It takes the weights by the names of the original checkpoint.
"""

import librosa
import numpy as np
import torch
from torch.nn import functional

BANDS, FRAMES = 96, 187
FRONT = ((7, 38, 204), (7, 67, 204), (128, 1, 51), (64, 1, 51), (32, 1, 51))  # frames, bands, filters
CHANNELS = sum(filters for _, _, filters in FRONT) + 3 * 64  # 753


def random_weights(rng, dead=0.9):
    """Weights in the original shapes; a share of the front end's filters and of the first middle layer is dead."""
    weights = {}

    def layer(name, shape, scale, dead=0.0):
        alive = rng.random(shape[-1]) >= dead
        alive[0] = True
        weights[f"{name}/kernel"] = rng.standard_normal(shape) * scale * np.where(alive, 1.0, 1e-8)
        weights[f"{name}/bias"] = rng.standard_normal(shape[-1]) * 0.3

    def norm(number, size):
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        weights[f"{name}/gamma"] = rng.standard_normal(size)  # negative ones too
        weights[f"{name}/beta"] = rng.standard_normal(size) * 0.3
        weights[f"{name}/moving_mean"] = rng.standard_normal(size) * 0.3
        weights[f"{name}/moving_variance"] = rng.uniform(0.5, 2.0, size)

    norm(0, 1)
    for number, (frames, bands, filters) in enumerate(FRONT):
        layer(name_of(number), (frames, bands, 1, filters), 1 / np.sqrt(frames * bands), dead)
        norm(1 + number, filters)
    for number, inputs in ((5, 561), (6, 64), (7, 64)):
        layer(name_of(number), (7, inputs, 1, 64), 1 / np.sqrt(7 * 64), dead / 2 if number == 5 else 0.0)
        norm(1 + number, 64)
    norm(9, 2 * CHANNELS)
    layer("dense", (2 * CHANNELS, 200), 1 / np.sqrt(2 * CHANNELS))
    norm(10, 200)
    layer("dense_1", (200, 50), 0.1)
    return {name: array.astype(np.float32) for name, array in weights.items()}


def name_of(number):
    return f"conv2d_{number}" if number else "conv2d"


def run(weights, bands):
    """Log-mel (batch, 96, 187) to the embedding (batch, 200) and the logits of the tags (batch, 50), in float64."""

    def get(name):
        return torch.from_numpy(weights[name].astype(np.float64))

    def norm(number, channels):
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        gamma, beta, mean, variance = (
            get(f"{name}/{part}") for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        shape = [1, -1] + [1] * (channels.dim() - 2)
        return (channels - mean.view(shape)) / torch.sqrt(variance + 1e-3).view(shape) * gamma.view(shape) + beta.view(
            shape
        )

    def convolution(number, image):
        kernel = get(f"{name_of(number)}/kernel").permute(3, 2, 0, 1)
        frames = kernel.shape[2]
        padded = functional.pad(image, (0, 0, (frames - 1) // 2, frames // 2))
        return norm(1 + number, torch.relu(functional.conv2d(padded, kernel, get(f"{name_of(number)}/bias"))))

    def middle(number, channels):
        return convolution(number, channels.transpose(1, 2)[:, None])[..., 0]

    image = norm(0, bands.double().transpose(1, 2)[:, None])
    front = torch.cat([convolution(number, image).amax(dim=3) for number in range(len(FRONT))], dim=1)
    one = middle(5, front)
    two = middle(6, one) + one
    three = middle(7, two) + two
    layers = torch.cat([front, one, two, three], dim=1)
    pools = torch.stack([layers.amax(dim=2), layers.mean(dim=2)], dim=2).flatten(1)
    dense = functional.linear(norm(9, pools), get("dense/kernel").T, get("dense/bias"))
    embedding = norm(10, torch.relu(dense))
    return embedding, functional.linear(embedding, get("dense_1/kernel").T, get("dense_1/bias"))


def fixed_inputs():
    """Log-mel of two signals that a formula makes, by librosa: float32 (2, 96, 187)."""
    seconds = np.arange(48_000) / 16_000
    pulse = np.exp(-8 * np.mod(seconds, 0.5))
    strings = sum(np.sin(2 * np.pi * 110 * step * seconds) / step for step in range(1, 20))
    sweep = np.sin(2 * np.pi * (100 * seconds + 600 * seconds**2))
    signals = (0.2 * pulse * strings, 0.1 * sweep + 0.05 * np.sin(2 * np.pi * 3000 * seconds) * pulse)
    mel = [librosa.feature.melspectrogram(y=y, sr=16_000, n_fft=512, hop_length=256, n_mels=BANDS) for y in signals]
    return torch.from_numpy(np.log10(1 + 10_000 * np.stack(mel)[..., :FRAMES])).float()
