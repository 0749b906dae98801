"""The proof that the graph says what PyTorch says: the same chunks through both, on every provider present."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
TOLERANCE = 1e-3  # of a log-probability
FLIPS_ALLOWED = 0.01  # share of chunks beyond the tolerance: those whose beats or tuning tie within float32
MARGIN = 1e-2  # between the two highest log-probabilities; a closer call may go either way

# TF32's 10 bits would raise a noise floor inside the 80 dB range of the spectrum.
CUDA = ("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})
CPU: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})


@dataclass(frozen=True)
class Row:
    """How one provider compares at one batch size."""

    provider: str
    batch: int
    names: list[str]
    difference: NDArray[np.float32]
    """Largest of each chunk's log-probabilities, (chunks,)."""
    genre_differs: NDArray[np.bool_]
    """Where the predicted genre differs though the margin was above `MARGIN`, (chunks,)."""
    embedding_difference: float
    beyond: list[str] = field(init=False)
    """Names of the chunks beyond `TOLERANCE`."""

    def __post_init__(self) -> None:
        names = [self.names[index] for index in np.flatnonzero(~(self.difference <= TOLERANCE))]
        object.__setattr__(self, "beyond", names)

    @property
    def agrees(self) -> bool:
        """Whether the graph may be shipped by this row."""
        return len(self.beyond) <= FLIPS_ALLOWED * len(self.names) and not self.genre_differs.any()


def sessions(path: Path) -> dict[str, ort.InferenceSession]:
    """A session on each provider that really runs here, by the provider's name."""
    # PyTorch brings the CUDA libraries; without a GPU, ONNX Runtime would only complain of their absence.
    wanted = [CUDA, CPU] if torch.cuda.is_available() else [CPU]
    opened = {}
    for name, options in wanted:
        session = ort.InferenceSession(path, providers=[(name, options)])
        # Falling back to the CPU is silent.
        if session.get_providers()[0] == name:
            opened[name] = session
    return opened


def compare(network: GenreNet, path: Path, chunks: Mapping[str, NDArray[np.float32]]) -> list[Row]:
    """Runs all chunks, by name, through PyTorch and through the graph, in batches of each size."""
    names = list(chunks)
    waveforms = np.stack(list(chunks.values()))
    rows = []
    for provider, session in sessions(path).items():
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
        genre_differs=clear & (expected[0].argmax(axis=1) != given[0].argmax(axis=1)),
        embedding_difference=float(np.median(np.abs(expected[1] - given[1]).max(axis=1))),
    )


def table(rows: list[Row]) -> str:
    """The comparison for a person, with the chunks beyond the tolerance by name."""
    lines = [f"{'provider':<24}{'batch':>6}{'chunks':>8}{'median':>10}{'largest':>10}{'beyond':>8}{'genre':>7}"]
    lines += [
        f"{row.provider:<24}{row.batch:>6}{len(row.names):>8}{np.median(row.difference):>10.1e}"
        f"{row.difference.max():>10.1e}{len(row.beyond):>8}{row.genre_differs.sum():>7}"
        for row in rows
    ]
    lines.append(
        f"median, largest: difference of a chunk's log-probabilities; beyond: chunks over {TOLERANCE:g} "
        f"(at most {FLIPS_ALLOWED:.0%}); genre: another one than PyTorch's, where not a tie (none)."
    )
    beyond = sorted({name for row in rows for name in row.beyond})
    lines += [f"beyond: {name}" for name in beyond]
    return "\n".join(lines)
