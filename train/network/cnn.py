"""The original network: a small CNN over the five feature images."""

from torch import Tensor, nn

from train.features import CHANNELS, Features
from train.features.spectrum import N_MFCC
from train.network.base import EmbeddingClassifier, GenreNet, Standardise


class GenreCNN(EmbeddingClassifier):
    """Two convolution blocks and a global average; 30 026 parameters for ten genres."""

    def __init__(self, labels: int = 10) -> None:
        super().__init__(64, labels)
        self.block1 = convolution_block(CHANNELS, 32)
        self.block2 = convolution_block(32, 64)

    def pool(self, inputs: Tensor) -> Tensor:
        """Images (batch, 5, 40, 130) to the averages of 64 channels, (batch, 64)."""
        return nn.functional.adaptive_avg_pool2d(self.block2(self.block1(inputs)), 1).flatten(1)


def convolution_block(inputs: int, outputs: int) -> nn.Sequential:
    """3 x 3 convolution, ReLU, batch normalisation, 2 x 2 maximum, dropout."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding="same"),
        nn.ReLU(),
        nn.BatchNorm2d(outputs),
        nn.MaxPool2d(2),
        nn.Dropout(0.3),
    )


def build(labels: int) -> GenreNet:
    """The network; each coefficient of each channel is standardised, all frames alike."""
    return GenreNet(Features(), Standardise((CHANNELS, N_MFCC, 1)), GenreCNN(labels))
