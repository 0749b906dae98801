"""A music genre classifier: a file or a waveform in, one of ten genres out.

    from genre_classifier import Classifier

    with Classifier() as classifier:
        print(classifier.classify("song.mp3").genre)

Needs numpy, soundfile, soxr, PyAV, pydantic and ONNX Runtime; neither PyTorch nor librosa nor BentoML.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genre_classifier.audio import AudioError
    from genre_classifier.classifier import Classifier
    from genre_classifier.verdict import Verdict

__version__ = "0.2.0"  # the only place where the release is written

__all__ = ["AudioError", "Classifier", "Verdict", "__version__"]

_MODULES = {
    "AudioError": "genre_classifier.audio",
    "Classifier": "genre_classifier.classifier",
    "Verdict": "genre_classifier.verdict",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: training and decoding never load what classifying needs."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
