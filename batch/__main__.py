"""`python -m batch SOURCE OUTPUT`: classify a library, wherever it lies, into Parquet."""

import argparse
import os
import re
import signal
import sys

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ends with exit code 2 where it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m batch", description="Classify a library of music, wherever it lies, into Parquet: a row a file."
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder, a pattern, a URI like s3://bucket/prefix, or a list: .txt, or .csv or .parquet with columns "
        "uri and, where there is one, id",
    )
    parser.add_argument("output", metavar="OUTPUT", help="the folder of the parts, or its URI")
    parser.add_argument("--files-per-part", type=_positive, default=1000, metavar="N", help="default: 1000")
    parser.add_argument(
        "--shard", type=_shard, default=(0, 1), metavar="I/N", help="every Nth part from the Ith, from 0"
    )
    parser.add_argument(
        "--file-seconds", type=_seconds, default=300.0, metavar="S", help="most for one file; default: 300"
    )
    parser.add_argument(
        "--file-megabytes", type=_positive, default=512, metavar="MB", help="most to fetch of one; default: 512"
    )
    parser.add_argument("--prune", action="store_true", help="remove this model's parts of another list")
    parser.add_argument("--ray", metavar="ADDRESS", help="let a Ray cluster work: its address, auto or local")
    parser.add_argument("--actors", type=_positive, metavar="N", help="Ray actors; default: one a CPU, less one")
    parser.add_argument("--cpus-per-actor", type=_seconds, default=1.0, metavar="N", help="default: 1")
    parser.add_argument("--gpus-per-actor", type=_share, default=0.0, metavar="N", help="default: 0")
    parser.add_argument("--model", metavar="MODEL", help="default: GENRE_MODEL or genre")
    args = parser.parse_args(arguments)
    if not args.source or not args.output:
        parser.error("SOURCE or OUTPUT is empty")
    if not args.ray and (args.actors or args.gpus_per_actor or args.cpus_per_actor != 1):
        parser.error("--actors, --cpus-per-actor and --gpus-per-actor need --ray")
    return args


def main() -> None:
    """Run, and exit with the code; parts that are written stay when interrupted."""
    args = parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Slurm and Kubernetes stop a run: as Ctrl-C does
    # Imported here, so that --help answers at once.
    try:
        from batch.fetch import left_behind  # noqa: PLC0415
        from batch.job import JobError, run_job  # noqa: PLC0415
    except ImportError as error:
        print(f'This needs more packages: pip install "genre-classifier[batch]" ({error}).', file=sys.stderr)
        sys.exit(WRONG_USE)
    try:
        code = FAILED if run_job(args) else 0
        if left_behind():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        sys.exit(code)
    except JobError as error:
        print(error, file=sys.stderr)
        sys.exit(WRONG_USE)
    except KeyboardInterrupt:
        print("\nInterrupted. Whole parts are kept: the same command goes on from them.", file=sys.stderr)
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # without waiting for the files under way


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 0 to N-1")
    return int(match[1]), int(match[2])


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _seconds(text: str) -> float:
    if (number := _share(text)) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _share(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")
    return float(text)


if __name__ == "__main__":
    main()
