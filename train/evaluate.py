"""`python -m train.evaluate`: what a checkpoint or an ONNX file reaches on the test clips of a split."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.errors import TrainingError, exit_code

OTHER_SPLIT = (
    "WARNING: {} was not trained by this table of clips (the split.csv of its run is the one); "
    "it may have been trained on some that are tested here."
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m train.evaluate`."""
    parser = argparse.ArgumentParser(prog="python -m train.evaluate", description="Score a model on a split.")
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.ckpt of a run, or an exported .onnx file")
    parser.add_argument("--data", type=Path, required=True, help="a folder with a folder of clips for each genre")
    parser.add_argument("--split", default="fault-filtered", help="fault-filtered, or the split.csv of a run")
    parser.add_argument("--output", type=Path, required=True, help="a folder for metrics.json and plots")
    return parser.parse_args(argv)


def run(checkpoint: Path, data: Path, split: str, output: Path) -> None:
    """Scores the test clips of the split, prints the table, and writes metrics.json and the plots.

    Raises:
        TrainingError: something the user named is not there or not fit.
    """
    from train.assign import LEAKS  # noqa: PLC0415
    from train.data import Chunks, decode_clips, find_clips  # noqa: PLC0415 - seconds that --help need not wait for
    from train.judges import CheckpointJudge, OnnxJudge  # noqa: PLC0415
    from train.metrics import metrics  # noqa: PLC0415
    from train.run import write_figures  # noqa: PLC0415
    from train.splits import FAULT_FILTERED, read_split  # noqa: PLC0415

    judge = OnnxJudge(checkpoint) if checkpoint.suffix == ".onnx" else CheckpointJudge(checkpoint)
    if split != "fault-filtered" and not Path(split).is_file():
        raise TrainingError(f"There is no split {split}: it is fault-filtered, or the split.csv of a run.")
    parts = read_split(FAULT_FILTERED if split == "fault-filtered" else Path(split))
    if parts.divides:
        print(LEAKS.format(Path(split).name), file=sys.stderr)
    found = find_clips(data)
    if judge.split_sha256 != parts.of({clip.name for clip in found}).sha256():
        print(OTHER_SPLIT.format(checkpoint), file=sys.stderr)
    tested = [clip for clip in found if clip.name in parts.clips("test")]
    if unknown := {clip.genre for clip in tested} - set(judge.labels):
        raise TrainingError(f"{checkpoint} does not know the genre {min(unknown)}, of which {data} holds test clips.")
    clips, waveforms = decode_clips(tested)
    if not clips:
        raise TrainingError(f"The split {split} leaves no clip of {data} to test.")
    chunks = Chunks(clips, waveforms, judge.labels)
    scores = judge.score(chunks.subset(parts.mask(chunks, "test")))
    write_figures({"test": metrics(scores)}, scores, output)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: 0, 2 with a sentence, or 130 where the user stopped it."""
    args = parse_args(argv)
    return exit_code("train.evaluate", lambda: run(**vars(args)))


if __name__ == "__main__":
    sys.exit(main())
