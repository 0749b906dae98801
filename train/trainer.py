"""The training loop: inputs in, the best checkpoint by validation out."""

import math
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.tensorboard import SummaryWriter
from torchmetrics.classification import MulticlassAccuracy
from tqdm import tqdm

from train import distributed
from train.config import Config
from train.data.augmentation import mask, mix
from train.data.inputs import Inputs, to_device
from train.errors import TrainingError
from train.evaluation.scores import Scores, score_inputs
from train.network.checkpoint import Checkpoint
from train.network.table import build_network
from train.progress import load_last, make_checkpoint, validation_metrics

RECALIBRATION_CHUNKS = 2048
MOMENTS = ("exp_avg", "exp_avg_sq")  # of Adam, each of the shape of the weights


class Trainer:
    """A training run in progress: the network, its optimiser, and the metrics of its epochs."""

    def __init__(self, config: Config, labels: list[str], device: torch.device, facts: dict[str, Any]) -> None:
        """Start a new run; `facts` are the fields of the checkpoint that are known beforehand."""
        torch.manual_seed(derive_seed(config.seed))
        self.config = config
        self.labels = labels
        self.facts = {"labels": labels, **facts}
        self.device = device
        self.network = build_network(config.net, len(labels)).to(device)
        # In this memory order convolutions are a quarter faster, on a CPU too.
        self.network.classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.classifier = distributed.data_parallel(self.network.classifier, device)
        self.optimiser = torch.optim.Adam(
            self.network.classifier.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=device.type == "cuda",  # then the host need not wait for the scaler's look at the gradients
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, config.epochs)
        # Only matrix products use this precision. Features, statistics and the optimiser's weights stay float32.
        by_device = "float16" if device.type == "cuda" else "float32"
        self.precision: torch.dtype = getattr(torch, by_device if config.precision == "auto" else config.precision)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == torch.float16)
        self.history: list[dict[str, float]] = []

    def run(self, train: Inputs, valid: Inputs | None, output: Path) -> None:
        """Train to the last epoch; write best.ckpt and last.ckpt after every epoch.

        Args:
            train: inputs to train on.
            valid: inputs that choose the best epoch, by their accuracy averaged over genres, then by the lower loss.
                Without them the last epoch is the best.
            output: an existing folder.

        Raises:
            TrainingError: the loss is no longer a number.
            OSError: a file cannot be written; the last complete checkpoints stay.
        """
        if not self.history:
            self.network.standardise.fit(train.prepared)
        with ExitStack() as stack:
            board = None
            if distributed.rank() == 0:
                board = stack.enter_context(SummaryWriter(output / "tensorboard", purge_step=len(self.history) + 1))
            while not self.is_over:
                metrics = self.train_epoch(train)
                self.schedule.step()
                if board:  # only in process 0
                    scores = score_inputs(self.network.eval(), valid) if valid else None
                    metrics |= validation_metrics(scores) if scores else {}
                self.history.append(distributed.broadcast(metrics))
                if board:
                    self.save(scores, output)
                    tqdm.write("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
                    sys.stdout.flush()
                    for name, value in metrics.items():
                        board.add_scalar(name, value, metrics["epoch"])

    @property
    def best(self) -> dict[str, float]:
        """Metrics of the best epoch: the highest accuracy, then the lowest loss; without validation the last epoch."""
        if "valid_loss" not in self.history[-1]:
            return self.history[-1]
        return max(self.history, key=lambda metrics: (metrics["valid_track_accuracy_macro"], -metrics["valid_loss"]))

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or no epoch of the last `patience` was the best."""
        done = len(self.history)
        patience = self.config.patience or math.inf
        return done >= self.config.epochs or (done > 0 and done - self.best["epoch"] >= patience)

    def train_epoch(self, train: Inputs) -> dict[str, float]:
        """Train on about as many samples as there are chunks, with every genre equally often; return the metrics."""
        count, done = len(self.labels), len(self.history)
        target = train.chunks.target
        # Only whole batches: batch normalisation cannot train on a last batch of one chunk.
        samples = max(len(target) // self.config.batch, 1) * self.config.batch
        weight = 1.0 / torch.bincount(target, minlength=count).double()
        # Each epoch has its own seed, so a resumed run continues exactly as it would have, and all processes draw the
        # same chunks. Augmentation is seeded per process.
        rng = torch.Generator().manual_seed(derive_seed(self.config.seed, done))
        order = torch.multinomial(weight[target], samples, replacement=True, generator=rng)
        torch.manual_seed(derive_seed(self.config.seed, done, distributed.rank()))
        # Without its checks of the arguments, for which the host would wait in every step.
        accuracy = MulticlassAccuracy(count, average="micro", validate_args=False, sync_on_compute=True).to(self.device)
        losses = torch.zeros((), device=self.device)
        self.network.train()
        hide_bar = None if distributed.rank() == 0 else True  # None: shown on a terminal only
        shards = [distributed.local_shard(batch) for batch in torch.split(torch.arange(samples), self.config.batch)]
        indices = [order[shard] for shard in shards]
        prepared = train.sample_batches(indices, [done * samples + int(shard[0]) for shard in shards], self.device)
        steps = tqdm(
            zip(indices, prepared, strict=True), f"epoch {done + 1}/{self.config.epochs}", len(shards), disable=hide_bar
        )
        for chosen, given in steps:
            inputs, soft_target = self.augment(train, chosen, given)
            with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                log_probs = self.classifier(inputs)
                loss = nn.functional.cross_entropy(log_probs, soft_target)
            self.optimiser.zero_grad()
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.step(self.optimiser)
            self.scaler.update()
            losses += loss.detach() * len(chosen)
            # Of a soft target, the genre with the largest weight counts.
            accuracy.update(log_probs, soft_target.argmax(dim=1))
        mean = float(distributed.all_reduce(losses)) / samples
        if not math.isfinite(mean):
            raise TrainingError(f"The loss of epoch {done + 1} is not a number; try a lower --learning-rate.")
        if self.config.recalibrate:
            # Only whole batches here too.
            self.recalibrate(train, order[: max(RECALIBRATION_CHUNKS // self.config.batch, 1) * self.config.batch])
        return {"epoch": done + 1, "train_loss": mean, "train_accuracy": float(accuracy.compute())}

    @torch.no_grad()
    def recalibrate(self, train: Inputs, indices: Tensor) -> None:
        """Recompute the statistics of batch normalisation over unchanged chunks, without dropout.

        Training computes them while dropout is active, and they do not fit activations without dropout (variance
        shift; Li, Chen, Hu and Yang 2019).
        """
        self.network.eval()
        norms = [module for module in self.network.classifier.modules() if isinstance(module, _BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        for step, batch in enumerate(torch.split(indices, self.config.batch)):
            for norm in norms:
                norm.train()
                norm.momentum = 1 / (step + 1)  # gives the mean over all batches
            prepared = to_device(train.prepared[distributed.local_shard(batch)], self.device)
            self.network.classifier(self.network.standardise(prepared))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def augment(self, train: Inputs, indices: Tensor, prepared: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised, masked, mixed inputs (batch, ...) and soft targets (batch, labels) of prepared chunks."""
        inputs = mask(self.network.standardise(prepared), self.config.mask_frames, self.config.mask_coefficients)
        if inputs.dim() == 4:  # noqa: PLR2004 (images)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        if train.soft_target is None:
            target = nn.functional.one_hot(train.chunks.target[indices], len(self.labels)).float()
        else:
            target = train.soft_target[indices]
        return mix(inputs, to_device(target, self.device), self.config.mixup)

    def save(self, valid: Scores | None, output: Path) -> None:
        """Write best.ckpt, if this epoch is the best, and last.ckpt."""
        checkpoint = self.checkpoint(valid)
        # best.ckpt comes first: if the process stops between the two, resuming repeats the epoch.
        if self.best is self.history[-1]:
            checkpoint.save(output / "best.ckpt")
        checkpoint.save(output / "last.ckpt")

    def checkpoint(self, valid: Scores | None) -> Checkpoint:
        """The state of the run."""
        resume = {
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            **self.settings,
        }
        return make_checkpoint(self.network, self.config, self.history, valid, resume, **self.facts)

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same when a run resumes, beside the recipe."""
        return {"precision": str(self.precision), "processes": distributed.world_size()}

    def resume(self, path: Path) -> None:
        """Continue from a last.ckpt.

        Raises:
            TrainingError: it is no such checkpoint, or it was trained on other genres or with other settings.
        """
        checkpoint = load_last(path, self.config, self.settings, self.facts)
        assert checkpoint.resume is not None
        self.network.load_state_dict(checkpoint.network().state_dict())
        self.history = checkpoint.history
        try:
            self._restore(checkpoint.resume)
        except Exception as error:  # a damaged state can raise anything
            raise TrainingError(f"{path} holds a damaged state, so training cannot resume from it.") from error

    def _restore(self, state: dict[str, Any]) -> None:
        """Take the state of optimiser, schedule and scaler; raises any error if it does not fit this run."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        moments = ((weights, each[name]) for weights, each in self.optimiser.state.items() for name in MOMENTS)
        if any(moment.shape != weights.shape for weights, moment in moments):
            raise ValueError("moments of other weights")
        if self.schedule.last_epoch != len(self.history):
            raise ValueError("another number of epochs")


def derive_seed(*numbers: int) -> int:
    """A seed for each sequence of numbers; the seeds of different sequences are independent."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
