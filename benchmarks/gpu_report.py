"""What the checks of `benchmarks.gpu` share: findings, the chunks to try, and what there is to try them on."""

import logging
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from export.signals import synthetic_chunks
from genre_classifier.audio import cut_chunks, decode
from genre_classifier.models import SAMPLE_CLIP, find_model
from genre_classifier.outputs import FloatArray
from genre_classifier.session import CUDA, GenreSession, ModelError, has_nvidia_driver, import_onnxruntime

MODELS = ("genre", "cnn")
MAX_MUSIC = 200  # chunks of real music


@dataclass
class Findings:
    """What one check finds."""

    quick: bool
    """Whether it should only prove that it runs."""
    figures: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """What was not done, and why."""

    def require(self, condition: bool, sentence: str) -> None:
        """Note a failure unless the condition holds."""
        if not condition:
            self.failures.append(sentence)

    def skip(self, what: str, why: str) -> None:
        """Note what is not done."""
        self.skipped.append(f"{what}: {why}")


@cache
def why_no_cuda() -> str:
    """Why ONNX Runtime has no CUDA here; empty where it has, or where it must have and does not work."""
    if CUDA not in import_onnxruntime().get_available_providers():
        return "this onnxruntime is built without CUDA"
    return "" if has_nvidia_driver() else "there is no NVIDIA driver"


@cache
def why_no_torch_cuda() -> str:
    """Why PyTorch has no CUDA here; empty where it has."""
    import torch  # noqa: PLC0415 (checks of the session alone do without it)

    return "" if torch.cuda.is_available() else "PyTorch finds no CUDA device"


def open_cuda(
    model: str, findings: Findings, *, largest_batch: int = 64, cuda_graph: bool = False
) -> GenreSession | None:
    """A session on CUDA; None, with a failure noted, where there should be one and is none, or where it warns."""
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("genre_classifier")
    logger.addHandler(handler)
    try:
        session = GenreSession(find_model(model), provider="cuda", largest_batch=largest_batch, cuda_graph=cuda_graph)
    except ModelError as error:
        findings.failures.append(f"{model}: {error}")
        return None
    finally:
        logger.removeHandler(handler)
    for sentence in heard:
        findings.failures.append(f"{model}: {sentence}")
    return session


def chunks_to_try(*, quick: bool) -> dict[str, FloatArray]:
    """Chunks by name: synthetic ones, those of the sample, and real music from the folder that GENRE_DATA names."""
    chunks: dict[str, FloatArray] = dict(synthetic_chunks())
    if SAMPLE_CLIP.is_file():
        sample = cut_chunks(decode(SAMPLE_CLIP).waveform)
        chunks |= {f"the sample at {3 * number} s": chunk for number, chunk in enumerate(sample)}
    music = os.environ.get("GENRE_DATA")
    if music and not quick and Path(music, "gtzan").is_dir():
        from export.__main__ import real_chunks  # noqa: PLC0415 (it needs what training needs)

        chunks |= dict(list(real_chunks(Path(music, "gtzan")).items())[:MAX_MUSIC])
    return chunks


def batch_of(chunks: dict[str, FloatArray], rows: int) -> FloatArray:
    """So many of the chunks, again and again, float32 (rows, 66150)."""
    return np.resize(np.stack(list(chunks.values())), (rows, len(next(iter(chunks.values())))))
