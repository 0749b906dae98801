"""The five feature images of a chunk as PyTorch modules, which the exported graph contains."""

from train.features.images import CHANNELS, Features

__all__ = ["CHANNELS", "Features"]
