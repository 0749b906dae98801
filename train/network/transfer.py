"""The transfer network: log-mel of the waveform, a frozen body that has heard much music, and a small head.

Only the head learns the genres. Training runs level, log-mel and body once for each chunk.
"""

import torch
from torch import Tensor, nn

from train.features.logmel import LogMel
from train.network.base import GenreNet, Standardise
from train.network.body import EMBEDDING, POOLS, TAGS, Body
from train.network.body_weights import load_weights
from train.network.head import Head

LOUDNESS = 0.1  # root mean square that every chunk is brought to
MAX_GAIN = 100.0
MIN_POWER = 1e-12  # of the mean square, against a division by zero


class Level(nn.Module):
    """A chunk at a root mean square of 0.1, so that loudness is no clue."""

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (batch, 66150) to the same shape; at most 40 dB louder."""
        power = (waveform * waveform).mean(dim=1, keepdim=True)
        return waveform * (LOUDNESS * torch.rsqrt(power + MIN_POWER)).clamp(max=MAX_GAIN)


class Listen(nn.Module):
    """Waveform to pools, embedding and tag probabilities, side by side; nothing in it is trained here."""

    def __init__(self) -> None:
        super().__init__()
        self.level, self.logmel, self.body = Level(), LogMel(), Body(load_weights())

    def forward(self, waveform: Tensor) -> Tensor:
        """Chunks (batch, 66150) to (batch, 674): 424 pools, 200 of the embedding, 50 tags."""
        pools, embedding, tags = self.body(self.logmel(self.level(waveform)))
        return torch.cat([pools, embedding, torch.sigmoid(tags)], dim=1)


class TransferNet(GenreNet):
    """All of it, as it is exported."""

    outputs = ("log_probs", "embedding", "tags", "familiarity")
    tags = TAGS
    licence = "Apache-2.0 AND ISC"

    def classify(self, prepared: Tensor) -> tuple[Tensor, ...]:
        """Prepared inputs (batch, 674) to log_probs (batch, labels), embedding, tags and familiarity (batch,)."""
        embedding, tags = prepared[:, POOLS : POOLS + EMBEDDING], prepared[:, POOLS + EMBEDDING :]
        logits, familiarity = self.classifier(self.standardise(prepared), tags)
        return torch.log_softmax(logits / self.temperature, dim=1), embedding, tags, familiarity


def build(labels: int) -> GenreNet:
    """The network; each of its 674 numbers is standardised."""
    return TransferNet(Listen(), Standardise((POOLS + EMBEDDING + len(TAGS),)), Head(labels))
