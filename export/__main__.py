"""`python -m export`: a checkpoint in, genre.onnx and the proof of its parity out."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from train.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REAL_CHUNKS = 200


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m export`."""
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description="Write a checkpoint as one ONNX file, and prove that both say the same.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("artifacts/genre.onnx"))
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data/gtzan"),
        help="a folder with a folder of clips for each genre, for real chunks in the proof; may be absent",
    )
    return parser.parse_args(argv)


def real_chunks(data: Path) -> dict[str, "NDArray[np.float32]"]:
    """The middle chunk of clips spread over the folder, by name; nothing where there is no such folder."""
    from audio import CHUNK_SECONDS, AudioError, cut_chunks, decode  # noqa: PLC0415
    from train.data import find_clips  # noqa: PLC0415

    if not data.is_dir():
        return {}
    clips = find_clips(data)
    chunks = {}
    for clip in clips[:: max(1, len(clips) // REAL_CHUNKS)]:
        try:
            cut = cut_chunks(decode(clip.path).waveform)
        except AudioError:  # an excerpt, or broken: others take its place in the proof
            continue
        middle = len(cut) // 2
        chunks[f"{clip.name} at {middle * CHUNK_SECONDS} s"] = cut[middle]
    return chunks


def run(checkpoint: Path, output: Path, data: Path) -> bool:
    """Exports and proves; the output is replaced only where the two agree, which is returned.

    Raises:
        TrainingError: something the user named is not there or not fit.
    """
    from export.graph import write_graph  # noqa: PLC0415 - seconds of import that --help need not wait for
    from export.parity import compare, table  # noqa: PLC0415
    from export.signals import synthetic_chunks  # noqa: PLC0415
    from train.checkpoint import load_checkpoint  # noqa: PLC0415

    loaded = load_checkpoint(checkpoint)
    chunks = synthetic_chunks() | real_chunks(data)
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(output.name + ".part")
    try:
        network = write_graph(loaded, part)
        rows = compare(network, part, chunks)
        agree = all(row.agrees for row in rows)
        if agree:
            part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    print(table(rows))
    print(f"{output}: written" if agree else f"{output}: NOT written, for PyTorch and the graph disagree")
    return agree


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: 0, 1 where the two disagree, 2 with a sentence."""
    try:
        return 0 if run(**vars(parse_args(argv))) else 1
    except TrainingError as error:
        print(f"export: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
