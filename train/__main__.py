"""`python -m train`: folders of clips in, best.ckpt out."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from train.config import SPLITS, Config, SplitConfig
from train.errors import exit_code


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m train`; the options of the recipe are the fields of `Config`."""
    parser = argparse.ArgumentParser(
        prog="python -m train",
        description="Train a genre network on DIR/<genre>/<clip>.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="On several GPUs or machines: torchrun ... -m train ..., with OUTPUT on a disk that all of them share.",
    )
    parser.add_argument("--data", type=Path, required=True, help="a folder that holds one folder of clips per genre")
    parser.add_argument("--output", type=Path, required=True, help="a folder for checkpoints, plots and the split")
    parser.add_argument("--unlabelled", type=Path, help="a folder of music without labels, for --teacher")
    parser.add_argument("--split", default=SPLITS[0], help=f"{', '.join(SPLITS)}, or a CSV file: clip,split")
    parser.add_argument("--artists", type=Path, help="a CSV file: clip,artist, for a split by artist")
    parser.add_argument("--folds", type=int, default=0, help="cross-validate over so many folds by artist")
    parser.add_argument("--fold", type=int, help="train only this fold, counted from 0")
    parser.add_argument("--split-seed", type=int, default=0, help="seed of splits that are drawn")
    parser.add_argument("--resume", action="store_true", help="continue from OUTPUT/last.ckpt")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"), help="where to train")
    recipe = parser.add_argument_group("recipe")
    for field in fields(Config):
        name = f"--{field.name.replace('_', '-')}"
        kind: dict[str, Any] = {"type": field.type, "choices": field.metadata.get("choices")}
        if alone := field.metadata.get("alone"):
            kind |= {"nargs": "?", "const": alone}
        if field.type is bool:
            kind = {"action": "store_true"}
        recipe.add_argument(name, default=field.default, help=field.metadata["help"], **kind)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: 0, 1 or 2 with a sentence, or 130 if the user stopped it."""
    args = parse_args(argv)

    def run() -> None:
        settings = vars(args)
        config = Config(**{field.name: settings.pop(field.name) for field in fields(Config)})
        split = SplitConfig(**{field.name: settings.pop(field.name) for field in fields(SplitConfig)})
        # Late, since these imports take seconds, for which --help should not wait.
        from train import distributed  # noqa: PLC0415
        from train.run import run  # noqa: PLC0415

        try:
            run(config=config, split=split, **settings)
        finally:
            distributed.destroy_process_group()

    def when_stopped() -> str:
        if any(args.output.glob("**/last.ckpt")):
            return f"stopped; --resume continues from the last complete epoch in {args.output}."
        return "stopped before the first epoch was complete."

    return exit_code("train", run, when_stopped)


if __name__ == "__main__":
    sys.exit(main())
