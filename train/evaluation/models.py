"""A model to evaluate: a checkpoint in PyTorch, or an exported graph in ONNX Runtime."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from genre_classifier.session import GenreSession, ModelError
from train.errors import TrainingError
from train.evaluation.scores import ChunkScores, chunk_scores
from train.network.checkpoint import load_checkpoint


class Model(NamedTuple):
    """What an evaluation needs of a model."""

    labels: list[str]
    split_sha256: str
    """Digest of the split that it was trained with."""
    recognised_above: float | None
    """Familiarity that a clip must exceed to be recognised; None for a model without."""
    classify: Callable[[Tensor], ChunkScores]
    """Waveforms (batch, 66150) to log-probabilities and familiarity."""


def open_model(path: Path) -> Model:
    """Open an `.onnx` file, or else a checkpoint.

    Raises:
        TrainingError: the file is missing, or it is something else.
    """
    return _open_graph(path) if path.suffix == ".onnx" else _open_checkpoint(path)


def _open_checkpoint(path: Path) -> Model:
    checkpoint = load_checkpoint(path)
    network = checkpoint.network()

    @torch.inference_mode()
    def classify(waveforms: Tensor) -> ChunkScores:
        return chunk_scores(network, network(waveforms))

    return Model(checkpoint.labels, checkpoint.split_sha256, checkpoint.recognised_above, classify)


def _open_graph(path: Path) -> Model:
    try:
        session = GenreSession(path)
    except ModelError as error:
        raise TrainingError(str(error)) from error

    def classify(waveforms: Tensor) -> ChunkScores:
        outputs = session.run(waveforms.numpy())
        familiarity = None if outputs.familiarity is None else torch.from_numpy(outputs.familiarity)
        return ChunkScores(torch.from_numpy(outputs.log_probs), familiarity)

    info = session.info
    return Model(list(info.labels), info.split_sha256, info.recognised_above, classify)
