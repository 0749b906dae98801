"""The network: a small CNN over feature images, and the whole from waveform to log-probabilities."""

import torch
from torch import Tensor, nn

from train.features import CHANNELS, Features
from train.spectrum import N_MFCC

EMBEDDING = 128  # activations before the last layer


class GenreCNN(nn.Module):
    """Two convolution blocks, global average, two linear layers: 30 026 parameters for ten genres.

    Modules bear the names of the original project's checkpoint, so that its weights load as they are.
    """

    def __init__(self, labels: int = 10) -> None:
        super().__init__()
        self.block1 = convolution_block(CHANNELS, 32)
        self.block2 = convolution_block(32, 64)
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc1 = nn.Linear(64, EMBEDDING)
        self.bn_fc = nn.BatchNorm1d(EMBEDDING)
        self.dropout = nn.Dropout(0.3)
        self.out = nn.Linear(EMBEDDING, labels)

    def embed(self, features: Tensor) -> Tensor:
        """Features (batch, 5, 40, 130) to the activations before the last layer, (batch, 128)."""
        pooled = self.pool(self.block2(self.block1(features))).flatten(1)
        embedding: Tensor = self.dropout(self.bn_fc(torch.relu(self.fc1(pooled))))
        return embedding

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, 5, 40, 130) to log-probabilities (batch, labels)."""
        return torch.log_softmax(self.out(self.embed(features)), dim=1)


def convolution_block(inputs: int, outputs: int) -> nn.Sequential:
    """3 x 3 convolution, ReLU, batch normalisation, 2 x 2 maximum, dropout."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding="same"),
        nn.ReLU(),
        nn.BatchNorm2d(outputs),
        nn.MaxPool2d(2),
        nn.Dropout(0.3),
    )


class Standardise(nn.Module):
    """Each coefficient of each channel less its mean, over its deviation; at first the identity."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(CHANNELS, N_MFCC, 1))
        self.register_buffer("deviation", torch.ones(CHANNELS, N_MFCC, 1))

    def fit(self, features: Tensor) -> None:
        """Takes mean and deviation over the chunks and frames of features (n, 5, 40, 130)."""
        self.mean.copy_(features.mean(dim=(0, 3))[..., None])
        # A coefficient that never moves is left at its scale.
        deviation = features.std(dim=(0, 3))[..., None]
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, 1.0))  # noqa: PLR2004

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, 5, 40, 130) to the same shape, standardised."""
        return (features - self.mean) / self.deviation


class GenreNet(nn.Module):
    """All of it, as it is exported: waveform -> features -> standardised -> CNN -> tempered log-probabilities."""

    temperature: Tensor

    def __init__(self, labels: int = 10) -> None:
        super().__init__()
        self.features = Features()
        self.standardise = Standardise()
        self.cnn = GenreCNN(labels)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Chunks (batch, 66150) to log-probabilities (batch, labels) and embeddings (batch, 128)."""
        return self.classify(self.features(waveform))

    def classify(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (batch, 5, 40, 130) to log-probabilities (batch, labels) and embeddings (batch, 128)."""
        embedding = self.cnn.embed(self.standardise(features))
        return torch.log_softmax(self.cnn.out(embedding) / self.temperature, dim=1), embedding
