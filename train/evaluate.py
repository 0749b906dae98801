"""`python -m train.evaluate`: the accuracy of a checkpoint or an ONNX file on the test clips of a split."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.errors import TrainingError, exit_code

OTHER_SPLIT_WARNING = (
    "WARNING: {} was trained with another split, so some of these test clips may be among its training clips. "
    "Use the split.csv of its training run."
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m train.evaluate`."""
    parser = argparse.ArgumentParser(prog="python -m train.evaluate", description="Evaluate a model on a split.")
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.ckpt of a run, or an exported .onnx file")
    parser.add_argument("--data", type=Path, required=True, help="a folder that holds one folder of clips per genre")
    parser.add_argument(
        "--split",
        default="fault-filtered",
        help="fault-filtered, the split.csv of a run, or all: every clip of a folder that no training has used",
    )
    parser.add_argument("--output", type=Path, required=True, help="a folder for metrics.json and plots")
    return parser.parse_args(argv)


def run(checkpoint: Path, data: Path, split: str, output: Path) -> None:
    """Score the test clips of the split, print the table, and write metrics.json and the plots.

    Raises:
        TrainingError: something that the user named is missing or does not fit.
    """
    # Late, since these imports take seconds, for which --help should not wait.
    from train.data.chunks import Chunks  # noqa: PLC0415
    from train.data.clips import decode_clips, find_clips  # noqa: PLC0415
    from train.data.splits import Split, load_split  # noqa: PLC0415
    from train.evaluation.models import open_model  # noqa: PLC0415
    from train.evaluation.scores import score_chunks  # noqa: PLC0415
    from train.evaluation.summary import write_evaluation  # noqa: PLC0415

    model = open_model(checkpoint)
    if split not in {"all", "fault-filtered"} and not Path(split).is_file():
        raise TrainingError(f"There is no split {split}; use fault-filtered, all, or the split.csv of a run.")
    found = find_clips(data)
    parts = Split({(clip.name, None): "test" for clip in found}) if split == "all" else load_split(split)
    if split != "all" and model.split_sha256 != parts.of({clip.name for clip in found}).sha256():
        print(OTHER_SPLIT_WARNING.format(checkpoint), file=sys.stderr)
    tested = [clip for clip in found if clip.name in parts.clips("test")]
    if unknown := {clip.genre for clip in tested} - set(model.labels):
        raise TrainingError(f"{checkpoint} does not know the genre {min(unknown)}, of which {data} has test clips.")
    clips, waveforms = decode_clips(tested)
    if not clips:
        raise TrainingError(f"The split {split} contains no clip of {data} to test.")
    chunks = Chunks(clips, waveforms, model.labels)
    scores = score_chunks(model.classify, chunks.subset(parts.mask(chunks, "test")))
    write_evaluation({"test": scores}, output, recognised_above=model.recognised_above)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: 0, 1 or 2 with a sentence, or 130 if the user stopped it."""
    args = parse_args(argv)
    return exit_code("train.evaluate", lambda: run(**vars(args)))


if __name__ == "__main__":
    sys.exit(main())
