"""What may be evaluated: a checkpoint in PyTorch, or an exported graph in ONNX Runtime."""

import json
from pathlib import Path

import onnxruntime
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from train.checkpoint import load_checkpoint
from train.data import Chunks
from train.errors import TrainingError
from train.inputs import prepare_all
from train.scores import Scores, collect, score

BATCH = 64


class CheckpointJudge:
    """Scores chunks by a checkpoint, in PyTorch."""

    def __init__(self, path: Path) -> None:
        checkpoint = load_checkpoint(path)
        self.labels = checkpoint.labels
        self.split_sha256 = checkpoint.split_sha256
        self.network = checkpoint.network()

    def score(self, chunks: Chunks) -> Scores:
        """Scores of chunks."""
        return score(self.network, prepare_all(chunks, self.network.prepare))


class OnnxJudge:
    """Scores chunks by an exported graph, in ONNX Runtime."""

    def __init__(self, path: Path) -> None:
        try:
            self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            metadata = self.session.get_modelmeta().custom_metadata_map
            self.labels = json.loads(metadata["labels"])
            self.split_sha256 = metadata["split_sha256"]
        except Exception as error:  # ONNX Runtime raises a dozen types of its own
            raise TrainingError(f"{path} is not a model that `python -m export` wrote.") from error

    def score(self, chunks: Chunks) -> Scores:
        """Scores of chunks, of which every one is scored."""
        bar = tqdm(DataLoader(chunks, BATCH), "classifying", unit="batch", disable=None)
        runs = (self.session.run(["log_probs"], {"waveform": waveform.numpy()})[0] for waveform, _ in bar)
        return collect((torch.from_numpy(log_probs) for log_probs in runs), chunks)
