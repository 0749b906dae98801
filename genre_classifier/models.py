"""Where the model files and the sample clip lie."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _artifacts() -> Path:
    """Inside the package where a wheel is installed, beside it in a clone, an editable install and a bento."""
    inside = _PACKAGE / "artifacts"
    return inside if inside.is_dir() else _PACKAGE.parent / "artifacts"


ARTIFACTS = _artifacts()
SAMPLE_CLIP = ARTIFACTS / "sample.mp3"
MODELS = {"genre": ARTIFACTS / "genre.onnx", "cnn": ARTIFACTS / "genre-cnn.onnx"}
"""The models that have a name; DEFAULT_MODEL answers unless another is asked for."""
DEFAULT_MODEL = "genre"


def find_model(name: str | os.PathLike[str]) -> Path:
    """The file of a model: one that has a name by it, any other by its path. It may be missing."""
    return MODELS.get(os.fspath(name), Path(name))
