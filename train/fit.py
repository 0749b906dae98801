"""The training loop: inputs in, the best checkpoint by validation out."""

import math
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.tensorboard import SummaryWriter
from torchmetrics.classification import MulticlassAccuracy
from tqdm import tqdm

from train import parallel
from train.augment import mask, mix
from train.checkpoint import Checkpoint, check_settings, load_checkpoint
from train.config import Config
from train.errors import TrainingError
from train.inputs import Inputs
from train.metrics import accuracies, number, uncertain_below
from train.model import GenreNet
from train.scores import Scores, score

RECALIBRATED = 2048  # chunks whose activations the statistics are of


class Fit:
    """Training under way: the network, its optimiser, and where it stands."""

    def __init__(self, config: Config, labels: list[str], device: torch.device, facts: dict[str, Any]) -> None:
        """Starts afresh; `facts` are the fields of the checkpoint that are known beforehand."""
        torch.manual_seed(stream(config.seed))
        self.config = config
        self.labels = labels
        self.facts = facts
        self.device = device
        self.network = GenreNet(len(labels), config.net).to(device)
        classifier = parallel.normalise_together(self.network.classifier)
        # The order of dimensions in memory that convolutions are a quarter faster in, on a CPU too.
        classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.classifier = parallel.parallel(classifier)
        self.optimiser = torch.optim.Adam(
            classifier.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, config.epochs)
        # Of the classifier's products; features, statistics and the optimiser's weights stay float32.
        by_device = "float16" if device.type == "cuda" else "float32"
        self.precision: torch.dtype = getattr(torch, by_device if config.precision == "auto" else config.precision)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == torch.float16)
        self.history: list[dict[str, float]] = []

    def run(self, train: Inputs, valid: Inputs | None, output: Path) -> None:
        """Trains from where it stands to the last epoch, and writes best.ckpt and last.ckpt after each.

        Args:
            train: what to train on.
            valid: the checkpoint with the best accuracy of these clips, averaged over genres, is the best, the lower
                loss deciding among equals; without them, the last is the best.
            output: an existing folder.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        if not self.history:
            self.network.standardise.fit(train.prepared)
        with ExitStack() as stack:
            board = None
            if parallel.rank() == 0:
                board = stack.enter_context(SummaryWriter(output / "tensorboard", purge_step=len(self.history) + 1))
            while not self.is_over:
                figures = self.epoch(train)
                self.schedule.step()
                if board:  # the first process
                    scores = score(self.network.eval(), valid) if valid else None
                    figures |= validation_figures(scores) if scores else {}
                self.history.append(parallel.tell(figures))
                if board:
                    self.save(scores, output)
                    tqdm.write("  ".join(f"{name} {value:.4g}" for name, value in figures.items()))
                    sys.stdout.flush()
                    for name, value in figures.items():
                        board.add_scalar(name, value, figures["epoch"])

    @property
    def best(self) -> dict[str, float]:
        """Figures of the best epoch: the highest accuracy, then the lowest loss; or without validation the last."""
        if "valid_loss" not in self.history[-1]:
            return self.history[-1]
        return max(self.history, key=lambda figures: (figures["valid_track_accuracy_macro"], -figures["valid_loss"]))

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or as many as patience allows since the best."""
        done = len(self.history)
        patience = self.config.patience or math.inf
        return done >= self.config.epochs or (done > 0 and done - self.best["epoch"] >= patience)

    def epoch(self, train: Inputs) -> dict[str, float]:
        """About as many chunks as there are, drawn so that every genre comes equally often."""
        count, done = len(self.labels), len(self.history)
        target = train.chunks.target
        # Whole batches alone: batch normalisation cannot train on a last one of a single chunk.
        draws = max(len(target) // self.config.batch, 1) * self.config.batch
        weight = 1.0 / torch.bincount(target, minlength=count).double()
        # Anew for each epoch, so that an interrupted run goes on as it would have, and all processes draw alike;
        # what each does to its part of a batch is its own.
        chance = torch.Generator().manual_seed(stream(self.config.seed, done))
        order = torch.multinomial(weight[target], draws, replacement=True, generator=chance)
        torch.manual_seed(stream(self.config.seed, done, parallel.rank()))
        accuracy = MulticlassAccuracy(count, average="micro", sync_on_compute=True).to(self.device)
        losses = torch.zeros((), device=self.device)
        self.network.train()
        title = f"epoch {done + 1}/{self.config.epochs}"
        quiet = None if parallel.rank() == 0 else True
        places = torch.split(torch.arange(draws), self.config.batch)
        with tqdm(places, title, disable=quiet) as bar:
            for place in bar:
                mine = parallel.share(place)
                inputs, soft_target = self.batch(train, order[mine], done * draws + int(mine[0]))
                with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                    log_probs = self.classifier(inputs)
                    loss = nn.functional.cross_entropy(log_probs, soft_target)
                self.optimiser.zero_grad()
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                self.scaler.step(self.optimiser)
                self.scaler.update()
                losses += loss.detach() * len(mine)
                # Of a mixed pair, the genre that weighs more is the one to find.
                accuracy.update(log_probs, soft_target.argmax(dim=1))
        mean = float(parallel.total(losses)) / draws
        if not math.isfinite(mean):
            raise TrainingError(f"The loss of epoch {done + 1} is not a number; try a lower --learning-rate.")
        if self.config.recalibrate:
            # Whole batches again.
            self.recalibrate(train, order[: max(RECALIBRATED // self.config.batch, 1) * self.config.batch])
        return {"epoch": done + 1, "train_loss": mean, "train_accuracy": float(accuracy.compute())}

    @torch.no_grad()
    def recalibrate(self, train: Inputs, index: Tensor) -> None:
        """Gathers the statistics of batch normalisation anew, over chunks as serving cuts them, without dropout.

        Gathered in training, they are of activations that dropout has thinned, and do not fit those that it has not
        (variance shift; Li, Chen, Hu and Yang 2019).
        """
        self.network.eval()
        norms = [module for module in self.network.classifier.modules() if isinstance(module, _BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        for step, batch in enumerate(torch.split(index, self.config.batch)):
            for norm in norms:
                norm.train()
                norm.momentum = 1 / (step + 1)  # the mean over all batches
            prepared = train.prepared[parallel.share(batch)].to(self.device)
            self.network.classifier(self.network.standardise(prepared))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def batch(self, train: Inputs, index: Tensor, serial: int) -> tuple[Tensor, Tensor]:
        """Standardised inputs and soft targets (batch, labels) of chunks, changed as the configuration says."""
        inputs = self.network.standardise(train.draw(index, serial).to(self.device))
        if self.config.net == "original":
            inputs = mask(inputs, self.config.mask_frames, self.config.mask_coefficients)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        target = nn.functional.one_hot(train.chunks.target[index], len(self.labels)).float().to(self.device)
        return mix(inputs, target, self.config.mixup)

    def save(self, valid: Scores | None, output: Path) -> None:
        """Writes best.ckpt, if this epoch is the best, and last.ckpt."""
        checkpoint = self.checkpoint(valid)
        # The best first: stopped between the two, resuming repeats the epoch.
        if self.best is self.history[-1]:
            checkpoint.save(output / "best.ckpt")
        checkpoint.save(output / "last.ckpt")

    def checkpoint(self, valid: Scores | None) -> Checkpoint:
        """What there is now and how it scores on validation, enough to serve it and enough to go on."""
        standardise = self.network.standardise
        return Checkpoint(
            model_state_dict={
                name: value.cpu().clone(memory_format=torch.contiguous_format)
                for name, value in self.network.classifier.state_dict().items()
            },
            labels=self.labels,
            net=self.config.net,
            mean=standardise.mean.cpu(),
            deviation=standardise.deviation.cpu(),
            uncertain_below=uncertain_below(valid) if valid else 0.0,
            metrics={"valid": self.history[-1]} if valid else {},
            config=asdict(self.config),
            history=list(self.history),
            resume={
                "optimiser": self.optimiser.state_dict(),
                "schedule": self.schedule.state_dict(),
                "scaler": self.scaler.state_dict(),
                "precision": str(self.precision),
                "processes": parallel.size(),
            },
            **self.facts,
        )

    def resume(self, path: Path) -> None:
        """Goes back to where a last.ckpt stands.

        Raises:
            TrainingError: it is no such checkpoint, or of other genres, another configuration or another split.
        """
        checkpoint = load_checkpoint(path)
        if checkpoint.resume is None:
            raise TrainingError(f"{path} holds no state of an optimiser to go on from.")
        here = asdict(self.config) | {"precision": str(self.precision), "processes": parallel.size()}
        there = checkpoint.config | {name: checkpoint.resume.get(name) for name in ("precision", "processes")}
        check_settings(path, there, here)
        if checkpoint.labels != self.labels or checkpoint.split_sha256 != self.facts.get("split_sha256", ""):
            raise TrainingError(f"{path} was trained on other clips, or another split of them; give it those to go on.")
        network = checkpoint.network()
        self.network.load_state_dict(network.state_dict())
        self.optimiser.load_state_dict(checkpoint.resume["optimiser"])
        self.schedule.load_state_dict(checkpoint.resume["schedule"])
        self.scaler.load_state_dict(checkpoint.resume["scaler"])
        self.history = checkpoint.history


def stream(*numbers: int) -> int:
    """A seed for each sequence of numbers, in no relation to those of others."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def validation_figures(scores: Scores) -> dict[str, float]:
    """Loss and accuracies of the validation clips, for the history."""
    right = scores.voted == scores.target
    accuracy, macro = accuracies(right[None], scores.target[None], len(scores.labels))
    chunks = scores.chunk_log_probs.argmax(dim=1) == scores.chunk_target
    return {
        "valid_loss": number(nn.functional.nll_loss(scores.chunk_log_probs, scores.chunk_target)),
        "valid_chunk_accuracy": number(chunks.double().mean()),
        "valid_track_accuracy": number(accuracy[0]),
        "valid_track_accuracy_macro": number(macro[0]),
    }
