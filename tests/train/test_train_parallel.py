"""Two processes on a CPU train as one on the same batches."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from train.checkpoint import load_checkpoint

WORKER = Path(__file__).with_name("fit_together.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.parametrize("net", ["original", "statistics"])
def test_two_processes_give_the_loss_of_one(net, tmp_path):
    histories, checkpoints = [], []
    for folder, command in (("alone", [sys.executable]), ("together", TORCHRUN)):
        output = tmp_path / folder
        output.mkdir()
        ended = subprocess.run(
            [*command, WORKER, net, output], capture_output=True, text=True, timeout=300, check=False
        )
        assert ended.returncode == 0, ended.stderr
        histories.append(json.loads((output / "history.json").read_text()))
        checkpoints.append(load_checkpoint(output / "last.ckpt"))
    alone, together = histories
    assert alone[-1]["train_loss"] < alone[0]["train_loss"]
    for one, other in zip(alone, together, strict=True):
        assert other == pytest.approx(one, rel=1e-4)
    for name, value in checkpoints[0].model_state_dict.items():
        assert torch.allclose(checkpoints[1].model_state_dict[name], value, rtol=1e-3, atol=1e-4), name


def test_torchrun_writes_one_run(folder, tmp_path):
    words = ["-m", "train", "--data", folder, "--split", folder / "split.csv", "--output", tmp_path / "run"]
    words += ["--epochs", 2, "--batch", 8, "--refit"]
    ended = subprocess.run([*TORCHRUN, *map(str, words)], capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("Judged by validation") == 1
    assert ended.stdout.count("decoding them") == 1
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["tracks"] == 6
    checkpoint = load_checkpoint(tmp_path / "run" / "best.ckpt")
    assert len(checkpoint.history) == 2
    assert "valid_loss" not in checkpoint.history[-1]  # trained on validation too
