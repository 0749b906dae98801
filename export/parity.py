"""The proof that the graph agrees with PyTorch: the same chunks through both, on every provider of this machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from genre_classifier.outputs import Outputs
from genre_classifier.session import CPU, CUDA, GenreSession, ModelError
from train.errors import TrainingError
from train.network.base import GenreNet

BATCHES = (1, 2, 7, 64)
TOLERANCE = 1e-3  # absolute for a log-probability; relative to the output's largest value for every other output
MAX_BEYOND = 0.01  # share of chunks beyond the tolerance: those whose beats or tuning are a tie within float32
MARGIN = 1e-2  # between the two highest log-probabilities; with a smaller margin the genre may differ


class ParityError(TrainingError):
    """PyTorch and the graph disagree."""

    exit_code = 1


@dataclass(frozen=True)
class Row:
    """The comparison on one provider at one batch size."""

    provider: str
    batch: int
    names: list[str]
    """Of the chunks."""
    differences: Mapping[str, NDArray[np.float32]]
    """By output: the largest difference of each chunk, (chunks,), in the units of `TOLERANCE`."""
    genre_differs: NDArray[np.bool_]
    """Whether the predicted genre differs although the margin is above `MARGIN`, (chunks,)."""

    @property
    def beyond(self) -> list[str]:
        """Names of the chunks with an output beyond `TOLERANCE`, or NaN."""
        within = np.all([difference <= TOLERANCE for difference in self.differences.values()], axis=0)
        return [self.names[index] for index in np.flatnonzero(~within)]

    @property
    def agrees(self) -> bool:
        """Whether the graph may be used, judging by this row."""
        return len(self.beyond) <= MAX_BEYOND * len(self.names) and not self.genre_differs.any()


def open_sessions(path: Path) -> tuple[dict[str, GenreSession], list[str]]:
    """A session on each provider that works here, by the provider's name, and why others are missing.

    Raises:
        TrainingError: ONNX Runtime cannot load the graph.
    """
    try:
        sessions = {CPU: GenreSession(path, provider="cpu")}
    except ModelError as error:
        raise TrainingError(str(error)) from error
    try:
        sessions = {CUDA: GenreSession(path, provider="cuda"), **sessions}
    except ModelError as error:
        return sessions, [f"{CUDA}: not compared. {error}"]
    return sessions, []


def compare(
    network: GenreNet,
    sessions: Mapping[str, GenreSession],
    chunks: Mapping[str, NDArray[np.float32]],
    batches: Sequence[int] = BATCHES,
) -> list[Row]:
    """Run all chunks, by name, through PyTorch and through the graph, in batches of each size."""
    names = list(chunks)
    waveforms = np.stack(list(chunks.values()))
    rows = []
    for provider, session in sessions.items():
        for batch in batches:
            expected, given = [], []
            for start in tqdm(range(0, len(names), batch), f"{provider} {batch}", disable=None, leave=False):
                part = waveforms[start : start + batch]
                with torch.inference_mode():
                    outputs = [output.numpy() for output in network(torch.from_numpy(part))]
                expected.append(Outputs(**dict(zip(network.outputs, outputs, strict=True))))
                given.append(session.run(part))
            rows.append(_row(provider, batch, names, Outputs.join(expected), Outputs.join(given)))
    return rows


def _row(provider: str, batch: int, names: list[str], expected: Outputs, given: Outputs) -> Row:
    differences = {}
    for name, ours, theirs in zip(Outputs._fields, expected, given, strict=True):
        if ours is None and theirs is None:
            continue
        if ours is None or theirs is None:
            raise ParityError(f"Only one of PyTorch and the graph has the output {name}.")
        scale = 1.0 if name == "log_probs" else np.abs(ours).max() or 1.0
        differences[name] = np.abs(ours - theirs).reshape(len(names), -1).max(axis=1) / scale
    ranked = np.sort(expected.log_probs, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > MARGIN
    differs = expected.log_probs.argmax(axis=1) != given.log_probs.argmax(axis=1)
    return Row(provider, batch, names, differences, genre_differs=clear & differs)


def table(rows: list[Row]) -> str:
    """The comparison as text, with the names of the chunks beyond the tolerance."""
    outputs = list(rows[0].differences)
    header = f"{'provider':<24}{'batch':>6}{'chunks':>8}{'median':>10}"
    lines = [header + "".join(f"{name:>13}" for name in outputs) + f"{'beyond':>8}{'genre':>7}"]
    lines += [
        f"{row.provider:<24}{row.batch:>6}{len(row.names):>8}{np.median(row.differences['log_probs']):>10.1e}"
        + "".join(f"{row.differences[name].max():>13.1e}" for name in outputs)
        + f"{len(row.beyond):>8}{row.genre_differs.sum():>7}"
        for row in rows
    ]
    lines += [
        "median: of the chunks' largest differences in log_probs;",
        f"{', '.join(outputs)}: largest difference of any chunk, as a share of the largest value but for log_probs;",
        f"beyond: chunks with a difference over {TOLERANCE:g}, at most {MAX_BEYOND:.0%} of them may be;",
        f"genre: chunks whose genre differs although its margin is over {MARGIN:g}, none may be.",
    ]
    lines += [f"beyond: {name}" for name in sorted({name for row in rows for name in row.beyond})]
    return "\n".join(lines)
