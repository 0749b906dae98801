"""The networks over feature images, and the whole from waveform to log-probabilities."""

import torch
from torch import Tensor, nn

from train.features import CHANNELS, Features
from train.spectrum import N_MFCC
from train.statistics import STATISTICS, Statistics

EMBEDDING = 128  # activations before the last layer
IMAGE = (CHANNELS, N_MFCC, 1)  # of the means of an image's rows


class Classifier(nn.Module):
    """What every network ends in: a linear layer to the embedding, and one to the labels.

    Modules bear the names of the original project's checkpoint, so that its weights load as they are.
    """

    def __init__(self, pooled: int, labels: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.fc1 = nn.Linear(pooled, EMBEDDING)
        self.bn_fc = nn.BatchNorm1d(EMBEDDING)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(EMBEDDING, labels)

    def pool(self, inputs: Tensor) -> Tensor:
        """Standardised inputs (batch, ...) to one vector each, (batch, pooled)."""
        raise NotImplementedError

    def embed(self, inputs: Tensor) -> Tensor:
        """Standardised inputs (batch, ...) to the activations before the last layer, (batch, 128)."""
        embedding: Tensor = self.dropout(self.bn_fc(torch.relu(self.fc1(self.pool(inputs)))))
        return embedding

    def forward(self, inputs: Tensor) -> Tensor:
        """Standardised inputs (batch, ...) to log-probabilities (batch, labels)."""
        logits: Tensor = self.out(self.embed(inputs))
        return torch.log_softmax(logits.float() if logits.dtype.itemsize < 4 else logits, dim=1)  # noqa: PLR2004


class GenreCNN(Classifier):
    """The original network: two convolution blocks over images, global average; 30 026 parameters for ten genres."""

    def __init__(self, labels: int = 10) -> None:
        super().__init__(64, labels)
        self.block1 = convolution_block(CHANNELS, 32)
        self.block2 = convolution_block(32, 64)

    def pool(self, inputs: Tensor) -> Tensor:
        """Images (batch, 5, 40, 130) to the averages of 64 channels, (batch, 64)."""
        return nn.functional.adaptive_avg_pool2d(self.block2(self.block1(inputs)), 1).flatten(1)


class StatisticsMLP(Classifier):
    """One hidden layer over statistics, half of which are left out at a time; 105 098 parameters for ten genres."""

    def __init__(self, labels: int = 10) -> None:
        super().__init__(STATISTICS, labels, dropout=0.5)
        self.thin = nn.Dropout(0.5)

    def pool(self, inputs: Tensor) -> Tensor:
        """Statistics (batch, 808) as they are; in training, half of them."""
        half: Tensor = self.thin(inputs)
        return half


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
    """Each statistic, or each coefficient of each channel, less its mean, over its deviation; at first the identity."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: tuple[int, ...] = IMAGE) -> None:
        """The means have this shape; along an axis of one, as an image's frames, all share one mean."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))

    def fit(self, inputs: Tensor) -> None:
        """Takes mean and deviation over inputs (n, ...)."""
        shared = [0, *(axis + 1 for axis, size in enumerate(self.mean.shape) if size == 1)]
        self.mean.copy_(inputs.mean(dim=shared).view_as(self.mean))
        # What never moves is left at its scale.
        deviation = inputs.std(dim=shared).view_as(self.deviation)
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, 1.0))  # noqa: PLR2004

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (batch, ...) to the same shape, standardised."""
        return (inputs - self.mean) / self.deviation


class GenreNet(nn.Module):
    """All of it, as it is exported: waveform -> features -> (statistics) -> standardised -> log-probabilities."""

    temperature: Tensor

    def __init__(self, labels: int = 10, net: str = "original") -> None:
        """A network by its name, one of `train.config.NETS`."""
        super().__init__()
        self.features = Features()
        self.front: nn.Module
        self.classifier: Classifier
        if net == "original":
            self.front, self.standardise, self.classifier = nn.Identity(), Standardise(IMAGE), GenreCNN(labels)
        elif net == "statistics":
            self.front, self.standardise = Statistics(), Standardise((STATISTICS,))
            self.classifier = StatisticsMLP(labels)
        else:
            raise ValueError(net)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Chunks (batch, 66150) to log-probabilities (batch, labels) and embeddings (batch, 128)."""
        return self.classify(self.prepare(waveform))

    def prepare(self, waveform: Tensor) -> Tensor:
        """Chunks (batch, 66150) to what is not learnt: images (batch, 5, 40, 130) or statistics (batch, 808)."""
        prepared: Tensor = self.front(self.features(waveform))
        return prepared

    def classify(self, prepared: Tensor) -> tuple[Tensor, Tensor]:
        """What `prepare` gives to log-probabilities (batch, labels) and embeddings (batch, 128)."""
        embedding = self.classifier.embed(self.standardise(prepared))
        return torch.log_softmax(self.classifier.out(embedding) / self.temperature, dim=1), embedding
