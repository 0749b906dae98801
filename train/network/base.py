"""What all networks share: the whole from waveform to outputs, the standardisation, and the last layers."""

import torch
from torch import Tensor, nn

EMBEDDING = 128  # activations before the last layer
MIN_DEVIATION = 1e-6  # an input that varies less is constant


class EmbeddingClassifier(nn.Module):
    """A network that ends in two linear layers: to an embedding, and from there to the labels.

    The layers have the names of the original project's checkpoint, so its weights load unchanged.
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
        """Standardised inputs (batch, ...) to log-probabilities (batch, labels), in float32 or more."""
        logits: Tensor = self.out(self.embed(inputs))
        return torch.log_softmax(logits.float() if logits.dtype.itemsize < 4 else logits, dim=1)  # noqa: PLR2004


class Standardise(nn.Module):
    """Inputs minus their mean, divided by their standard deviation; the identity until `fit`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        """`shape` is that of the means: of one input, but 1 for an axis whose values share a mean, as frames do."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))

    def fit(self, inputs: Tensor) -> None:
        """Set mean and deviation to those of inputs (n, ...)."""
        shared = [0, *(axis + 1 for axis, size in enumerate(self.mean.shape) if size == 1)]
        self.mean.copy_(inputs.mean(dim=shared).view_as(self.mean))
        # A constant input is not scaled.
        deviation = inputs.std(dim=shared).view_as(self.deviation)
        self.deviation.copy_(torch.where(deviation > MIN_DEVIATION, deviation, 1.0))

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (batch, ...) to the same shape, standardised."""
        return (inputs - self.mean) / self.deviation


class GenreNet(nn.Module):
    """A network as it is exported: waveform -> front end -> standardisation -> classifier -> outputs.

    The front end has no weights to train, so training runs it once and keeps what it returns. A network with more
    outputs is a subclass that names them in `outputs` and returns them from `classify`.
    """

    outputs: tuple[str, ...] = ("log_probs", "embedding")
    """Names of the graph's outputs, in order; the first is always `log_probs`."""
    tags: tuple[str, ...] = ()
    """Names of the columns of the output `tags`, for a network that has it."""
    licence: str = "Apache-2.0"
    """SPDX expression for the exported file, including weights from elsewhere."""
    temperature: Tensor

    def __init__(self, frontend: nn.Module, standardise: Standardise, classifier: nn.Module) -> None:
        super().__init__()
        self.frontend = frontend
        self.standardise = standardise
        self.classifier = classifier
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        """Chunks (batch, 66150) to the outputs, each (batch, ...): log-probabilities, embedding and what follows."""
        return self.classify(self.prepare(waveform))

    def prepare(self, waveform: Tensor) -> Tensor:
        """Chunks (batch, 66150) to the classifier's inputs before standardisation, (batch, ...)."""
        prepared: Tensor = self.frontend(waveform)
        return prepared

    def classify(self, prepared: Tensor) -> tuple[Tensor, ...]:
        """Prepared inputs (batch, ...) to the outputs: log-probabilities (batch, labels), embedding (batch, 128)."""
        classifier = self.classifier
        assert isinstance(classifier, EmbeddingClassifier), "other classifiers need a subclass with its own `classify`"
        embedding = classifier.embed(self.standardise(prepared))
        return torch.log_softmax(classifier.out(embedding) / self.temperature, dim=1), embedding
