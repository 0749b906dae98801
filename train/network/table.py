"""The table of networks. A new network is one file with a function `build`, and one line here.

The first line is the default. This module does not import PyTorch, so the command line can list the networks at once.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from train.network.base import GenreNet


@dataclass(frozen=True)
class Network:
    """A row of the table."""

    module: str
    """Its function `build(labels)` makes a `GenreNet`: front end, shape of the standardisation, classifier."""
    masks: bool = False
    """Whether its inputs are images (channels, coefficients, frames), which SpecAugment can mask."""
    solver: str = ""
    """The module whose function `fit(network, prepared, target, labels)` finds the weights at once, on chunks as they
    are; empty for a network that `train.trainer` trains in epochs."""


NETWORKS = {
    "cnn": Network("train.network.cnn", masks=True),
    "transfer": Network("train.network.transfer", solver="train.network.head"),
}


def build_network(name: str, labels: int) -> "GenreNet":
    """An untrained network by its name in the table, for so many labels."""
    network: GenreNet = import_module(NETWORKS[name].module).build(labels)
    return network
