"""Two processes on a CPU train like one on the same batches."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tests.support import ROOT
from train import distributed
from train.network.checkpoint import load_checkpoint
from train.network.table import NETWORKS, build_network

WORKER = ("-m", "tests.train.train_random_inputs")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.parametrize("net", [name for name, network in NETWORKS.items() if not network.solver])
def test_two_processes_give_the_loss_of_one(net, tmp_path):
    histories, checkpoints = [], []
    for folder, command in (("alone", [sys.executable]), ("together", TORCHRUN)):
        output = tmp_path / folder
        output.mkdir()
        ended = subprocess.run([*command, *WORKER, net, output], capture_output=True, text=True, check=False, cwd=ROOT)
        assert ended.returncode == 0, ended.stderr
        histories.append(json.loads((output / "history.json").read_text()))
        checkpoints.append(load_checkpoint(output / "last.ckpt"))
    alone, together = histories
    assert alone[-1]["train_loss"] < alone[0]["train_loss"]
    for one, other in zip(alone, together, strict=True):
        assert other == pytest.approx(one, rel=1e-4)
    for name, value in checkpoints[0].model_state_dict.items():
        assert torch.allclose(checkpoints[1].model_state_dict[name], value, rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize(("device", "synchronised"), [("cuda", True), ("cpu", False)])
def test_batch_normalisation_is_synchronised_on_cuda(device, synchronised, monkeypatch):
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "DistributedDataParallel", lambda module: module)
    classifier = build_network("cnn", 10).classifier
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    parallel = distributed.data_parallel(classifier, torch.device(device))
    norms = [module for module in parallel.modules() if isinstance(module, _BatchNorm)]
    assert len(norms) == 3
    assert all(isinstance(norm, nn.SyncBatchNorm) is synchronised for norm in norms)
    assert parallel is classifier
    after = classifier.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_features_on_cuda_are_float32_whole(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # as it is by default
    assert distributed.init_process_group("cuda") == torch.device("cuda")
    assert not torch.backends.cudnn.allow_tf32


def test_one_process_needs_no_group():
    module = nn.BatchNorm1d(2)
    assert distributed.data_parallel(module, torch.device("cpu")) is module
    batch = torch.arange(6)
    assert torch.equal(distributed.local_shard(batch), batch)
    assert (distributed.rank(), distributed.world_size(), distributed.broadcast("x")) == (0, 1, "x")


def test_torchrun_writes_one_run(folder, tmp_path):
    words = ["-m", "train", "--data", folder, "--split", folder / "split.csv", "--output", tmp_path / "run"]
    words += ["--epochs", 2, "--batch", 8, "--refit"]
    ended = subprocess.run([*TORCHRUN, *map(str, words)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("Evaluated on validation") == 1
    assert ended.stdout.count("decoding 31 of 31 clips") == 1
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["tracks"] == 6
    checkpoint = load_checkpoint(tmp_path / "run" / "best.ckpt")
    assert len(checkpoint.history) == 2
    assert "valid_loss" not in checkpoint.history[-1]  # the validation clips were trained on
