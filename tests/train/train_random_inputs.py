"""Train on random inputs and write the metrics and the weights; run alone, or by torchrun in several processes.

Dropout is off, and batch normalisation uses fixed statistics, so that the result does not depend on how a batch is
divided.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from train import distributed
from train.config import Config
from train.data.chunks import Chunks
from train.data.clips import Clip
from train.data.inputs import Inputs
from train.network.table import build_network
from train.trainer import Trainer

net, output = sys.argv[1], Path(sys.argv[2])
torch.set_num_threads(1)
shape = build_network(net, 2).prepare(torch.zeros(1, 66150)).shape[1:]
# The first steps of Adam depend on the signs of gradients, also of tiny ones; float64 keeps these signs the same.
torch.set_default_dtype(torch.float64)
distributed.init_process_group("cpu")
rng = np.random.default_rng(0)
clips = [Clip(f"{genre}.{number}", genre, Path()) for genre in "ab" for number in range(16)]
chunks = Chunks(clips, [rng.standard_normal(66150).astype(np.float32) for _ in clips], ["a", "b"])
trainer = Trainer(Config(net=net, epochs=3, batch=8), ["a", "b"], torch.device("cpu"), {})
prepared = torch.randn(len(chunks), *shape, generator=torch.Generator().manual_seed(0)) * 3 + 1
prepared[16:, 0] += 2.0
inputs = Inputs(chunks, prepared.double())
for module in trainer.network.modules():
    if isinstance(module, torch.nn.Dropout):
        module.p = 0.0
    if isinstance(module, _BatchNorm):
        module.eval().train = lambda _=True, module=module: module
trainer.run(inputs, inputs, output)
if distributed.rank() == 0:
    (output / "history.json").write_text(json.dumps(trainer.history))
distributed.destroy_process_group()
