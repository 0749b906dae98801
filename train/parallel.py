"""Several processes that train as one, as `torchrun` starts them; without it, one."""

import os
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from train.errors import TrainingError

Module = TypeVar("Module", bound=nn.Module)


def join(kind: str) -> torch.device:
    """Meets the other processes, where torchrun has started some; the device of this one, of a kind, cpu or cuda.

    Raises:
        TrainingError: there are fewer GPUs than processes.
    """
    if not dist.is_torchelastic_launched():
        return torch.device(kind)
    if int(os.environ["RANK"]):
        _hush()
    if kind == "cpu":
        dist.init_process_group("gloo")
        return torch.device(kind)
    local = int(os.environ["LOCAL_RANK"])
    if local >= torch.cuda.device_count():
        raise TrainingError(f"There are {torch.cuda.device_count()} GPUs here, and more processes than that.")
    device = torch.device("cuda", local)
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", device_id=device)
    return device


def _hush() -> None:
    """The first process speaks for all; of another, only what ends it unexpectedly is heard."""
    sys.stdout = sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (until the end)
    sys.excepthook = partial(traceback.print_exception, file=sys.__stderr__)


def leave() -> None:
    """Takes leave of the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process; the first, 0, writes files and speaks."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(batch: Tensor) -> Tensor:
    """This process's part of a batch that all have drawn alike, whose length `size` divides."""
    return batch.chunk(size())[rank()]


def total(values: Tensor) -> Tensor:
    """Sum over all processes."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def tell(value: Any) -> Any:
    """What the first process has, for all."""
    values = [value]
    if dist.is_initialized():
        dist.broadcast_object_list(values)
    return values[0]


def parallel(module: nn.Module) -> nn.Module:
    """The module as all processes train it: gradients averaged, batches normalised over all of them."""
    return DistributedDataParallel(module) if dist.is_initialized() else module


def normalise_together(module: Module) -> Module:
    """Replaces every batch normalisation by one over all processes; the names of weights stay."""
    if dist.is_initialized():
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, name, GlobalBatchNorm.of(child))
            else:
                normalise_together(child)
    return module


class GlobalSum(torch.autograd.Function):
    """Sum over all processes; what flows back is the sum of what each of them sends."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        """Values of any shape, the same for all."""
        return total(values.clone())

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        """Gradient of the sum to that of this process's values."""
        return total(gradient.clone())


def global_sum(values: Tensor) -> Tensor:
    """Sum over all processes, through which gradients flow."""
    summed: Tensor = GlobalSum.apply(values)  # type: ignore[no-untyped-call]
    return summed


class GlobalBatchNorm(_BatchNorm):
    """Batch normalisation by the mean and variance over all processes, on a CPU too, where `SyncBatchNorm` has none."""

    @classmethod
    def of(cls, norm: _BatchNorm) -> "GlobalBatchNorm":
        """One with the weights of another."""
        replacement = cls(norm.num_features, norm.eps, norm.momentum)
        replacement.load_state_dict(norm.state_dict())
        return replacement.to(norm.weight).train(norm.training)

    def _check_input_dim(self, _: Tensor) -> None:
        """Any input (batch, channels, ...) will do."""

    def forward(self, values: Tensor) -> Tensor:
        """Input (batch, channels, ...) to the same shape."""
        if not self.training:
            return super().forward(values)
        if values.dtype in {torch.float16, torch.bfloat16}:
            values = values.float()  # sums of many
        axes = [axis for axis in range(values.dim()) if axis != 1]
        shape = [1, -1, *[1] * (values.dim() - 2)]
        # Every process has as many values, for `share` divides batches equally.
        count = values.numel() // self.num_features * size()
        mean = global_sum(values.sum(dim=axes)) / count
        centred = values - mean.view(shape)
        variance = global_sum(centred.square().sum(dim=axes)) / count
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        normal: Tensor = centred * (variance + self.eps).rsqrt().view(shape)
        return torch.addcmul(self.bias.view(shape), normal, self.weight.view(shape))
