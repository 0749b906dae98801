"""`python -m export`: a checkpoint in, an ONNX file and the proof of its parity out."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from train.errors import TrainingError, exit_code

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_REAL_CHUNKS = 200


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m export`."""
    music = os.environ.get("GENRE_DATA")
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description="Write a checkpoint as one ONNX file, and prove that both give the same outputs.",
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.ckpt of a training run")
    parser.add_argument(
        "--output", type=Path, default=Path("artifacts/genre.onnx"), help="the file to write (default: %(default)s)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(music, "gtzan") if music else None,
        help="a folder that holds one folder of clips per genre, for real music in the proof "
        "(default: gtzan/ in the folder that GENRE_DATA names, or none)",
    )
    return parser.parse_args(argv)


def real_chunks(data: Path) -> dict[str, "NDArray[np.float32]"]:
    """The middle chunk of up to 200 clips from all over the folder, by name.

    Raises:
        TrainingError: the folder is missing, or it has no clip as long as a chunk.
    """
    import numpy as np  # noqa: PLC0415

    from genre_classifier.audio import CHUNK_SECONDS, AudioError, cut_chunks, decode  # noqa: PLC0415
    from train.data.clips import find_clips  # noqa: PLC0415

    clips = find_clips(data)
    chunks: dict[str, NDArray[np.float32]] = {}
    for index in np.random.default_rng(0).permutation(len(clips)):
        try:
            cut = cut_chunks(decode(clips[index].path).waveform)
        except AudioError:  # too short or damaged; other clips are enough
            continue
        middle = len(cut) // 2
        chunks[f"{clips[index].name} at {middle * CHUNK_SECONDS} s"] = cut[middle]
        if len(chunks) == MAX_REAL_CHUNKS:
            break
    if not chunks:
        raise TrainingError(f"No clip in {data} can be decoded and is as long as a chunk of 3 seconds.")
    return chunks


def run(checkpoint: Path, output: Path, data: Path | None) -> None:
    """Export and compare; the output is only written if the two agree.

    Raises:
        ParityError: they disagree.
        TrainingError: something that the user named is missing or does not fit.
    """
    # Late, since these imports take seconds, for which --help should not wait.
    from export.graph import write_graph  # noqa: PLC0415
    from export.parity import ParityError, compare, open_sessions, table  # noqa: PLC0415
    from export.signals import synthetic_chunks  # noqa: PLC0415
    from genre_classifier.atomic import replacing  # noqa: PLC0415
    from train.network.checkpoint import load_checkpoint  # noqa: PLC0415

    loaded = load_checkpoint(checkpoint)
    real = real_chunks(data) if data else {}
    if not real:
        print("no real music to compare on; --data names a folder of it")
    chunks = synthetic_chunks() | real
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as part:
        print("writing the graph", flush=True)
        network = write_graph(loaded, part)
        print(f"comparing it with PyTorch on {len(chunks)} chunks", flush=True)
        sessions, missing = open_sessions(part)
        rows = compare(network, sessions, chunks)
        print(table(rows), *missing, sep="\n")
        if not all(row.agrees for row in rows):
            raise ParityError(f"PyTorch and the graph disagree; {output} is not written.")
    if "test" not in loaded.metrics:
        print(f"{checkpoint} has no accuracy on test clips: its training run was stopped")
    print(f"{output} is written")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: 0, 1 if the two disagree or the disk is full, 2 with a sentence, or 130 if the user stopped it."""
    args = parse_args(argv)
    return exit_code("export", lambda: run(**vars(args)))


if __name__ == "__main__":
    sys.exit(main())
