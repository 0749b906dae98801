"""Tell the genre of files and folders from the command line, without a server: python -m serving PATH..."""

import argparse
import io
import os
import sys
from pathlib import Path

from serving import __version__
from serving.quiet import mute_libraries

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; ends with exit code 2 where it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m serving", description="Tell the genre of music files: a table, JSON Lines or CSV."
    )
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="audio files, folders of them, and patterns like '*.mp3'"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_const", const="json", dest="form", help="one JSON object a line")
    form.add_argument("--csv", action="store_const", const="csv", dest="form", help="one line a file, for spreadsheets")
    parser.add_argument("--top-k", type=int, metavar="K", help="list only the K most probable genres")
    parser.add_argument(
        "--segments",
        action="store_true",
        help="what is heard from when to when; a row for every three seconds with --csv (--json has them always)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there instead of to the screen")
    parser.add_argument(
        "--embeddings", type=Path, metavar="FILE.npz", help="also write 128 numbers for each file, to compare music by"
    )
    parser.add_argument(
        "--write-tags",
        action="store_true",
        help="also write each genre into the file's own tags, in place of the one there; needs mutagen",
    )
    parser.add_argument(
        "--skip-existing", action="store_true", help="go on with an --output of --json or --csv: skip what is in it"
    )
    parser.add_argument("--version", action="version", version=f"genre-classifier {__version__}")
    parser.set_defaults(form="table")
    args = parser.parse_args(arguments)
    if not all(args.paths):  # a variable of the shell that is not set must not mean the folder it is run in
        parser.error("a PATH is empty")
    if args.top_k is not None and args.top_k < 1:
        parser.error("--top-k must be 1 or more")
    if args.skip_existing and (args.output is None or args.form == "table"):
        parser.error("--skip-existing needs --output FILE and --json or --csv")
    if args.embeddings and args.output and args.embeddings.resolve() == args.output.resolve():
        parser.error("--embeddings and --output must be two files")
    return args


def run(args: argparse.Namespace) -> int:
    """The exit code of what is wanted."""
    from serving.library import Order, OrderError, judge_library  # noqa: PLC0415 (late, so that --help answers at once)

    try:
        return judge_library(Order(**vars(args)))
    except OrderError as error:
        print(error, file=sys.stderr)
        return WRONG_USE


def main() -> None:
    """Run, and leave with the exit code; what is written stays written when interrupted."""
    args = parse_args()
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be UTF-8, and must not end the run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    mute_libraries()
    try:
        sys.exit(run(args))
    except KeyboardInterrupt:
        # Without waiting for the files under way; what is done has been written.
        sys.stdout.flush()
        os._exit(INTERRUPTED)
    except BrokenPipeError:  # who reads has seen enough; Python would complain of the rest at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except OSError as error:
        print(f"The output cannot be written: {error.strerror}.", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
