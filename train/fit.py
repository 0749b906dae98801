"""The training loop: cached features in, the best checkpoint by validation out."""

import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from torchmetrics.classification import MulticlassAccuracy
from tqdm import tqdm

from train.checkpoint import Checkpoint, load_checkpoint
from train.config import Config
from train.data import Chunks
from train.errors import TrainingError
from train.metrics import metrics, uncertain_below
from train.model import GenreNet
from train.scores import Scores, score


class Fit:
    """Training under way: the network, its optimiser, and where it stands."""

    def __init__(self, config: Config, labels: list[str], device: torch.device, facts: dict[str, Any]) -> None:
        """Starts afresh; `facts` are the fields of the checkpoint that are known beforehand."""
        torch.manual_seed(config.seed)
        self.config = config
        self.labels = labels
        self.facts = facts
        self.device = device
        self.network = GenreNet(len(labels)).to(device)
        # The order of dimensions in memory that convolutions are a quarter faster in, on a CPU too.
        self.network.cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(
            self.network.cnn.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, config.epochs)
        # Mixed precision on CUDA; features and the optimiser's weights stay float32.
        self.mixed = device.type == "cuda"
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.mixed)
        self.history: list[dict[str, float]] = []

    def run(self, train: tuple[Tensor, Chunks], valid: tuple[Tensor, Chunks], output: Path) -> None:
        """Trains from where it stands to the last epoch, and writes best.ckpt and last.ckpt after each.

        Args:
            train: features (n, 5, 40, 130) and their chunks.
            valid: likewise; the checkpoint with the best accuracy of its clips, averaged over genres, is the best,
                the lower loss deciding among equals.
            output: an existing folder.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        features, chunks = train
        if not self.history:
            self.network.standardise.fit(features)
        standardised = self.network.standardise.cpu()(features).contiguous(memory_format=torch.channels_last)
        self.network.to(self.device)
        with SummaryWriter(output / "tensorboard", purge_step=len(self.history) + 1) as board:
            while not self.is_over:
                figures = self.epoch(standardised, chunks)
                scores = score(self.network.eval(), *valid)
                figures |= validation_figures(scores)
                self.schedule.step()
                self.history.append(figures)
                checkpoint = self.checkpoint(scores)
                # The best first: stopped between the two, resuming repeats the epoch.
                if self.best is figures:
                    checkpoint.save(output / "best.ckpt")
                checkpoint.save(output / "last.ckpt")
                tqdm.write("  ".join(f"{name} {value:.4g}" for name, value in figures.items()))
                sys.stdout.flush()
                for name, value in figures.items():
                    board.add_scalar(name, value, figures["epoch"])

    @property
    def best(self) -> dict[str, float]:
        """Figures of the best epoch: the highest accuracy, then the lowest loss."""
        return max(self.history, key=lambda figures: (figures["valid_track_accuracy_macro"], -figures["valid_loss"]))

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or as many as patience allows since the best."""
        done = len(self.history)
        patience = self.config.patience or math.inf
        return done >= self.config.epochs or (done > 0 and done - self.best["epoch"] >= patience)

    def epoch(self, features: Tensor, chunks: Chunks) -> dict[str, float]:
        """About as many standardised chunks as there are, drawn so that every genre comes equally often."""
        number = len(self.history) + 1
        # Whole batches alone: batch normalisation cannot train on a last one of a single chunk.
        draws = max(len(chunks) // self.config.batch, 1) * self.config.batch
        weight = 1.0 / torch.bincount(chunks.target, minlength=len(self.labels)).double()
        order = torch.multinomial(weight[chunks.target], draws, replacement=True)
        accuracy = MulticlassAccuracy(len(self.labels), average="micro").to(self.device)
        total = 0.0
        self.network.train()
        with tqdm(torch.split(order, self.config.batch), f"epoch {number}/{self.config.epochs}", disable=None) as bar:
            for index in bar:
                image = mask(features[index].to(self.device), self.config.mask_frames, self.config.mask_coefficients)
                target = nn.functional.one_hot(chunks.target[index], len(self.labels)).float().to(self.device)
                image, soft_target = mix(image, target, self.config.mixup)
                with torch.autocast(self.device.type, enabled=self.mixed):
                    log_probs = self.network.cnn(image)
                    loss = nn.functional.cross_entropy(log_probs, soft_target)
                self.optimiser.zero_grad()
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                self.scaler.step(self.optimiser)
                self.scaler.update()
                total += loss.item() * len(index)
                # Of a mixed pair, the genre that weighs more is the one to find.
                accuracy.update(log_probs, soft_target.argmax(dim=1))
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if not math.isfinite(total):
            raise TrainingError(f"The loss of epoch {number} is not a number; try a lower --learning-rate.")
        return {"epoch": number, "train_loss": total / len(order), "train_accuracy": float(accuracy.compute())}

    def checkpoint(self, valid: Scores) -> Checkpoint:
        """What there is now and how it scores on validation, enough to serve it and enough to go on."""
        standardise = self.network.standardise
        return Checkpoint(
            model_state_dict={
                name: value.cpu().clone(memory_format=torch.contiguous_format)
                for name, value in self.network.cnn.state_dict().items()
            },
            labels=self.labels,
            mean=standardise.mean.cpu(),
            deviation=standardise.deviation.cpu(),
            uncertain_below=uncertain_below(valid),
            metrics={"valid": metrics(valid)},
            config=asdict(self.config),
            history=list(self.history),
            resume={
                "optimiser": self.optimiser.state_dict(),
                "schedule": self.schedule.state_dict(),
                "scaler": self.scaler.state_dict(),
                "random": torch.get_rng_state(),
                "cuda_random": torch.cuda.get_rng_state_all(),
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
        config = asdict(self.config)
        if other := [name for name in config if checkpoint.config.get(name) != config[name]]:
            raise TrainingError(f"{path} was trained with another {' and '.join(other)}; give it the same to go on.")
        if checkpoint.labels != self.labels or checkpoint.split_sha256 != self.facts.get("split_sha256", ""):
            raise TrainingError(f"{path} was trained on other clips, or another split of them; give it those to go on.")
        network = checkpoint.network()
        self.network.load_state_dict(network.state_dict())
        self.optimiser.load_state_dict(checkpoint.resume["optimiser"])
        self.schedule.load_state_dict(checkpoint.resume["schedule"])
        self.scaler.load_state_dict(checkpoint.resume["scaler"])
        torch.set_rng_state(checkpoint.resume["random"])
        torch.cuda.set_rng_state_all(checkpoint.resume["cuda_random"])
        self.history = checkpoint.history


def validation_figures(scores: Scores) -> dict[str, float]:
    """Loss and accuracies of the validation clips, for the history."""
    reached = metrics(scores)
    return {
        "valid_loss": float(nn.functional.nll_loss(scores.chunk_log_probs, scores.chunk_target)),
        "valid_chunk_accuracy": reached["chunk_accuracy"],
        "valid_track_accuracy": reached["track_accuracy"],
        "valid_track_accuracy_macro": reached["track_accuracy_macro"],
    }


def mask(image: Tensor, frames: int, coefficients: int) -> Tensor:
    """Blanks a band of frames and a band of coefficients of each standardised image (batch, 5, 40, 130).

    SpecAugment (Park et al. 2019); zero is the mean of what is standardised.
    """
    for longest, axis in ((frames, 3), (coefficients, 2)):
        size, count = image.shape[axis], image.shape[0]
        length = torch.rand(count) * longest
        start = torch.rand(count) * (size - length)
        place = torch.arange(size)
        kept = (place < start[:, None]) | (place >= (start + length)[:, None])
        shape = [count, 1, 1, 1]
        shape[axis] = size
        image = image * kept.reshape(shape).to(image)
    return image


def mix(image: Tensor, target: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018): each image and target with another's, in a share drawn from Beta(alpha, alpha)."""
    if not alpha or len(image) == 1:
        return image, target
    share = torch.distributions.Beta(alpha, alpha).sample((len(image),)).to(image.device)
    other = torch.randperm(len(image), device="cpu").to(image.device)
    weight = share[:, None, None, None]
    return weight * image + (1 - weight) * image[other], share[:, None] * target + (1 - share[:, None]) * target[other]
