"""`python -m train.evaluate`: what a checkpoint reaches on the test clips of a split."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from train.errors import TrainingError, exit_code


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m train.evaluate`."""
    parser = argparse.ArgumentParser(prog="python -m train.evaluate", description="Score a checkpoint on a split.")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="a folder with a folder of clips for each genre")
    parser.add_argument("--split", default="fault-filtered", help="fault-filtered, or the split.csv of a run")
    parser.add_argument("--output", type=Path, required=True, help="a folder for metrics.json and confusion.png")
    return parser.parse_args(argv)


def run(checkpoint: Path, data: Path, split: str, output: Path) -> None:
    """Scores the test clips of the split, prints the table and writes metrics.json and confusion.png.

    Raises:
        TrainingError: something the user named is not there or not fit.
    """
    import torch  # noqa: PLC0415 - seconds of import that --help need not wait for

    from train.checkpoint import load_checkpoint  # noqa: PLC0415
    from train.data import Chunks, decode_clips, extract, find_clips  # noqa: PLC0415
    from train.scores import plot_confusion, score, table  # noqa: PLC0415
    from train.splits import FAULT_FILTERED, read_split  # noqa: PLC0415

    loaded = load_checkpoint(checkpoint)
    parts = read_split(FAULT_FILTERED if split == "fault-filtered" else Path(split))
    tested = [clip for clip in find_clips(data) if clip.name in parts.clips("test")]
    if unknown := {clip.genre for clip in tested} - set(loaded.labels):
        raise TrainingError(f"{checkpoint} does not know the genre {min(unknown)}, of which {data} holds test clips.")
    clips, waveforms = decode_clips(tested)
    if not clips:
        raise TrainingError(f"The split {split} leaves no clip of {data} to test.")
    output.mkdir(parents=True, exist_ok=True)
    chunks = Chunks(clips, waveforms, loaded.labels)
    chunks = chunks.subset(parts.mask(chunks, "test"))
    network = loaded.network()
    metrics = score(network, extract(chunks, network.features, torch.device("cpu")), chunks).metrics()
    (output / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    plot_confusion(metrics, loaded.labels, output / "confusion.png")
    print(table(metrics, loaded.labels))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: 0, 2 with a sentence, or 130 where the user stopped it."""
    args = parse_args(argv)
    return exit_code("train.evaluate", lambda: run(**vars(args)))


if __name__ == "__main__":
    sys.exit(main())
