"""Training of a network whose weights have one best solution: found at once, as one epoch."""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from train import distributed
from train.config import Config
from train.data.inputs import Inputs
from train.evaluation.metrics import number
from train.evaluation.scores import score_inputs
from train.network.table import NETWORKS, build_network
from train.progress import load_last, make_checkpoint, validation_metrics


class Solver:
    """A training run with the same interface as `train.trainer.Trainer`.

    The solution needs seconds and no GPU. So it is found on the CPU, and by each of several processes for itself.
    """

    def __init__(self, config: Config, labels: list[str], device: torch.device, facts: dict[str, Any]) -> None:
        """Start a new run; `facts` are the fields of the checkpoint that are known beforehand."""
        self.config = config
        self.labels = labels
        self.facts = {"labels": labels, **facts}
        self.device = device
        self.network = build_network(config.net, len(labels)).eval()
        self.history: list[dict[str, float]] = []

    def run(self, train: Inputs, valid: Inputs | None, output: Path) -> None:
        """Solve, score the validation clips, if there are any, and write best.ckpt and last.ckpt, which are the same.

        Args:
            train: inputs to train on.
            valid: inputs whose scores the history tells.
            output: an existing folder.
        """
        if self.history:
            return
        target = train.chunks.target
        import_module(NETWORKS[self.config.net].solver).fit(self.network, train.prepared, target, self.labels)
        with torch.inference_mode():
            log_probs = self.network.classify(train.prepared)[0]
        metrics = {
            "epoch": 1,
            "train_loss": number(nn.functional.nll_loss(log_probs, target)),
            "train_accuracy": number((log_probs.argmax(dim=1) == target).double().mean()),
        }
        self.network.to(self.device)
        scores = score_inputs(self.network, valid) if valid else None
        self.history.append(metrics | (validation_metrics(scores) if scores else {}))
        if distributed.rank() == 0:
            checkpoint = make_checkpoint(self.network, self.config, self.history, scores, {}, **self.facts)
            checkpoint.save(output / "best.ckpt")
            checkpoint.save(output / "last.ckpt")
            print("  ".join(f"{name} {value:.4g}" for name, value in self.history[-1].items()), flush=True)

    def resume(self, path: Path) -> None:
        """Take the solution from a last.ckpt.

        Raises:
            TrainingError: it is no such checkpoint, or it was trained on other genres or with other settings.
        """
        checkpoint = load_last(path, self.config, {}, self.facts)
        self.network.load_state_dict(checkpoint.network().state_dict())
        self.history = checkpoint.history
