"""`python -m export`: a checkpoint in, genre.onnx and the proof of its parity out."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from train.errors import TrainingError, exit_code

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REAL_CHUNKS = 200
USUAL_DATA = Path("../shared/data/gtzan")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m export`."""
    parser = argparse.ArgumentParser(
        prog="python -m export", description="Write a checkpoint as one ONNX file, and prove that both say the same."
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.ckpt of a training run")
    parser.add_argument(
        "--output", type=Path, default=Path("artifacts/genre.onnx"), help="the file to write (default: %(default)s)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="a folder with a folder of clips for each genre, for real chunks in the proof "
        f"(default: {USUAL_DATA} where there is one)",
    )
    return parser.parse_args(argv)


def real_chunks(data: Path) -> dict[str, "NDArray[np.float32]"]:
    """The middle chunk of up to 200 clips spread over the folder, by name.

    Raises:
        TrainingError: there is no such folder, or no clip of a chunk's length in it.
    """
    import numpy as np  # noqa: PLC0415

    from audio import CHUNK_SECONDS, AudioError, cut_chunks, decode  # noqa: PLC0415
    from train.data import find_clips  # noqa: PLC0415

    clips = find_clips(data)
    chunks: dict[str, NDArray[np.float32]] = {}
    for place in np.random.default_rng(0).permutation(len(clips)):
        try:
            cut = cut_chunks(decode(clips[place].path).waveform)
        except AudioError:  # an excerpt, or broken: others take its place in the proof
            continue
        middle = len(cut) // 2
        chunks[f"{clips[place].name} at {middle * CHUNK_SECONDS} s"] = cut[middle]
        if len(chunks) == REAL_CHUNKS:
            break
    if not chunks:
        raise TrainingError(f"No clip in {data} can be decoded and is as long as a chunk of 3 seconds.")
    return chunks


def run(checkpoint: Path, output: Path, data: Path | None) -> bool:
    """Exports and proves; the output is replaced only where the two agree, which is returned.

    Raises:
        TrainingError: something the user named is not there or not fit.
    """
    from export.graph import write_graph  # noqa: PLC0415 - seconds of import that --help need not wait for
    from export.parity import compare, sessions, table  # noqa: PLC0415
    from export.signals import synthetic_chunks  # noqa: PLC0415
    from train.checkpoint import load_checkpoint  # noqa: PLC0415

    loaded = load_checkpoint(checkpoint)
    chunks = synthetic_chunks()
    if data or USUAL_DATA.is_dir():
        chunks |= real_chunks(data or USUAL_DATA)
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(output.name + ".part")
    try:
        print("writing the graph", flush=True)
        network = write_graph(loaded, part)
        print(f"comparing it with PyTorch on {len(chunks)} chunks", flush=True)
        opened, absent = sessions(part)
        rows = compare(network, opened, chunks)
        agree = all(row.agrees for row in rows)
        if agree:
            part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    print(table(rows), *absent, sep="\n")
    if "test" not in loaded.metrics:
        print(f"{checkpoint}: no accuracy on test clips is known of it, as of a training run that was stopped")
    print(f"{output}: written" if agree else f"{output}: NOT written, for PyTorch and the graph disagree")
    return agree


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: 0, 1 where the two disagree, 2 with a sentence, or 130 where the user stopped it."""
    args = parse_args(argv)
    return exit_code("export", lambda: run(**vars(args)))


if __name__ == "__main__":
    sys.exit(main())
