"""Fits random inputs without dropout and writes the curve and the weights; run alone, or by torchrun in parts."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from train import parallel
from train.config import Config
from train.data import Chunks, Clip
from train.fit import Fit
from train.inputs import Inputs

net, output = sys.argv[1], Path(sys.argv[2])
torch.set_num_threads(1)
# Adam makes a whole step of the sign of a gradient, be it nothing but rounding; of that, double precision has less.
torch.set_default_dtype(torch.float64)
parallel.join("cpu")
rng = np.random.default_rng(0)
clips = [Clip(f"{genre}.{number}", genre, Path()) for genre in "ab" for number in range(16)]
chunks = Chunks(clips, [rng.standard_normal(66150).astype(np.float32) for _ in clips], ["a", "b"])
shape: tuple[int, ...] = (5, 40, 130) if net == "original" else (808,)
prepared = torch.randn(len(chunks), *shape, generator=torch.Generator().manual_seed(0)) * 3 + 1
prepared[16:, 0] += 2.0
inputs = Inputs(chunks, prepared.double())
fit = Fit(Config(net=net, epochs=3, batch=8), ["a", "b"], torch.device("cpu"), {})
for module in fit.network.modules():
    if isinstance(module, torch.nn.Dropout):
        module.p = 0.0
fit.run(inputs, inputs, output)
if parallel.rank() == 0:
    (output / "history.json").write_text(json.dumps(fit.history))
parallel.leave()
