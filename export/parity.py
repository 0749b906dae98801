"""The proof that the graph says what PyTorch says: the same chunks through both, on every provider present."""

import ctypes
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from export.graph import INPUT, OUTPUTS
from train.model import GenreNet

BATCHES = (1, 2, 7, 64)
TOLERANCE = 1e-3  # of a log-probability, and of an embedding as a share of the largest of all
FLIPS_ALLOWED = 0.01  # share of chunks beyond the tolerance: those whose beats or tuning tie within float32
MARGIN = 1e-2  # between the two highest log-probabilities; a closer call may go either way

# TF32's 10 bits would raise a noise floor inside the 80 dB range of the spectrum. As in serving/session.py, which knows
# nothing of this package, nor this of it.
CUDA = ("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})
CPU: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})


@dataclass(frozen=True)
class Row:
    """How one provider compares at one batch size."""

    provider: str
    batch: int
    names: list[str]
    """Of the chunks."""
    difference: NDArray[np.float32]
    """Largest of each chunk's log-probabilities, (chunks,)."""
    embedding_difference: NDArray[np.float32]
    """Largest of each chunk's embedding, as a share of the largest activation of all, (chunks,)."""
    genre_differs: NDArray[np.bool_]
    """Where the predicted genre differs though the margin was above `MARGIN`, (chunks,)."""

    @property
    def beyond(self) -> list[str]:
        """Names of the chunks beyond `TOLERANCE`; NaN is beyond it."""
        within = (self.difference <= TOLERANCE) & (self.embedding_difference <= TOLERANCE)
        return [self.names[index] for index in np.flatnonzero(~within)]

    @property
    def agrees(self) -> bool:
        """Whether the graph may be shipped by this row."""
        return len(self.beyond) <= FLIPS_ALLOWED * len(self.names) and not self.genre_differs.any()


def sessions(path: Path) -> tuple[dict[str, ort.InferenceSession], list[str]]:
    """A session on each provider that runs here, by the provider's name, and why the others do not."""
    opened, absent = {}, []
    for name, options in (CUDA, CPU):
        if name not in ort.get_available_providers():
            absent.append(f"{name}: not compared, for this ONNX Runtime is built without it")
        elif name == CUDA[0] and not _has_nvidia_driver():
            absent.append(f"{name}: not compared, for there is no NVIDIA driver here")
        else:
            if name == CUDA[0]:
                ort.preload_dlls()
            session = ort.InferenceSession(path, providers=[(name, options)])
            # Falling back to the CPU is silent.
            if session.get_providers()[0] == name:
                opened[name] = session
            else:
                absent.append(f"{name}: not compared, for ONNX Runtime cannot use it here")
    return opened, absent


def _has_nvidia_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def compare(
    network: GenreNet, opened: Mapping[str, ort.InferenceSession], chunks: Mapping[str, NDArray[np.float32]]
) -> list[Row]:
    """Runs all chunks, by name, through PyTorch and through the graph, in batches of each size."""
    names = list(chunks)
    waveforms = np.stack(list(chunks.values()))
    rows = []
    for provider, session in opened.items():
        for batch in BATCHES:
            expected, given = [], []
            for start in tqdm(range(0, len(names), batch), f"{provider} {batch}", disable=None, leave=False):
                part = waveforms[start : start + batch]
                with torch.inference_mode():
                    expected.append([output.numpy() for output in network(torch.from_numpy(part))])
                given.append(session.run(OUTPUTS, {INPUT: part}))
            rows.append(_row(provider, batch, names, _join(expected), _join(given)))
    return rows


def _join(parts: list[Any]) -> list[NDArray[np.float32]]:
    return [np.concatenate(output) for output in zip(*parts, strict=True)]


def _row(
    provider: str, batch: int, names: list[str], expected: list[NDArray[np.float32]], given: list[NDArray[np.float32]]
) -> Row:
    ranked = np.sort(expected[0], axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > MARGIN
    return Row(
        provider,
        batch,
        names,
        difference=np.abs(expected[0] - given[0]).max(axis=1),
        embedding_difference=np.abs(expected[1] - given[1]).max(axis=1) / np.abs(expected[1]).max(),
        genre_differs=clear & (expected[0].argmax(axis=1) != given[0].argmax(axis=1)),
    )


def table(rows: list[Row]) -> str:
    """The comparison for a person, with the chunks beyond the tolerance by name."""
    lines = [
        f"{'provider':<24}{'batch':>6}{'chunks':>8}{'median':>10}{'largest':>10}{'embedding':>11}{'beyond':>8}{'genre':>7}"
    ]
    lines += [
        f"{row.provider:<24}{row.batch:>6}{len(row.names):>8}{np.median(row.difference):>10.1e}"
        f"{row.difference.max():>10.1e}{row.embedding_difference.max():>11.1e}{len(row.beyond):>8}"
        f"{row.genre_differs.sum():>7}"
        for row in rows
    ]
    lines += [
        "median, largest: difference of a chunk's log-probabilities; embedding: its largest, as a share;",
        f"beyond: chunks where one is over {TOLERANCE:g}, at most {FLIPS_ALLOWED:.0%} of them;",
        "genre: chunks with another genre than PyTorch's where that was not a tie, none of them.",
    ]
    beyond = sorted({name for row in rows for name in row.beyond})
    lines += [f"beyond: {name}" for name in beyond]
    return "\n".join(lines)
