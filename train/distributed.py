"""Training in several processes, started by `torchrun`; without it, every function is for one process."""

import os
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from train.errors import TrainingError


def init_process_group(kind: str) -> torch.device:
    """Connect to the other processes, if torchrun has started some, and return this process's device.

    Args:
        kind: cpu or cuda.

    Raises:
        TrainingError: there are fewer GPUs than processes.
    """
    # PyTorch's convolutions use TF32 by default: its 10 bits are too few for features with a range of 80 dB.
    torch.backends.cudnn.allow_tf32 = False
    if not dist.is_torchelastic_launched():
        return torch.device(kind)
    if int(os.environ["RANK"]):
        _silence()
    if kind == "cpu":
        dist.init_process_group("gloo")
        return torch.device(kind)
    local = int(os.environ["LOCAL_RANK"])
    if local >= torch.cuda.device_count():
        raise TrainingError(f"There are more processes than the {torch.cuda.device_count()} GPUs of this machine.")
    device = torch.device("cuda", local)
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", device_id=device)
    return device


def _silence() -> None:
    """Print nothing in this process, since the first process prints for all, but the traceback of a crash."""
    sys.stdout = sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (open until the end)
    sys.excepthook = partial(traceback.print_exception, file=sys.__stderr__)


def destroy_process_group() -> None:
    """Disconnect from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process; process 0 prints and writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_shard(batch: Tensor) -> Tensor:
    """This process's part of a batch that is the same in all processes; its length must divide by `world_size`."""
    return batch.chunk(world_size())[rank()]


def all_reduce(values: Tensor) -> Tensor:
    """Sum over all processes, in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def broadcast(value: Any) -> Any:
    """The value that process 0 has, in all processes."""
    values = [value]
    if dist.is_initialized():
        dist.broadcast_object_list(values)
    return values[0]


def data_parallel(module: nn.Module, device: torch.device) -> nn.Module:
    """The module for training in all processes: gradients are averaged over them.

    Batch normalisation is over the batch of all processes on CUDA. On a CPU, where PyTorch has no synchronised version,
    each process normalises its own part of the batch.
    """
    if not dist.is_initialized():
        return module
    if device.type == "cuda":
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return DistributedDataParallel(module)
