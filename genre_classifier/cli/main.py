"""`genre-classifier PATH...`: classify files and folders of music without a server."""

import argparse
import io
import os
import sys
from pathlib import Path

from genre_classifier import __version__

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ends with exit code 2 where it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="genre-classifier", description="Classify music files by genre, into a table, JSON Lines or CSV."
    )
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="audio files, folders of them, and patterns like '*.mp3'"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_const", const="json", dest="form", help="write one JSON object a line")
    form.add_argument(
        "--csv", action="store_const", const="csv", dest="form", help="write one row a file, for spreadsheets"
    )
    parser.add_argument("--top-k", type=int, metavar="K", help="list only the K most probable genres")
    parser.add_argument(
        "--segments",
        action="store_true",
        help="list what is heard from when to when; with --csv, one row for every chunk (--json always has them)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to a file instead of the screen")
    parser.add_argument(
        "--embeddings", type=Path, metavar="FILE.npz", help="also save each file's embedding, to compare music by"
    )
    parser.add_argument(
        "--write-tags",
        action="store_true",
        help="also write each genre into the file's own tags and replace the one there; needs mutagen",
    )
    parser.add_argument(
        "--skip-existing",
        action="store_true",
        help="continue an --output of --json or --csv: skip the files that are in it",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="let --output and --embeddings replace a file that this program did not write (music is never replaced)",
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="genre, cnn (where its file is there) or an ONNX file; default: GENRE_MODEL or genre",
    )
    parser.add_argument("--version", action="version", version=f"genre-classifier {__version__}")
    parser.set_defaults(form="table")
    args = parser.parse_intermixed_args(arguments)
    if not all(args.paths):  # an unset variable of the shell must not mean the current folder
        parser.error("a PATH is empty")
    if args.skip_existing and (args.output is None or args.form == "table"):
        parser.error("--skip-existing needs --output FILE and --json or --csv")
    if args.skip_existing and args.overwrite:
        parser.error("--skip-existing continues what --overwrite would replace: use one of them")
    return args


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for; the exit code."""
    # Imported here, so that --help answers at once.
    from genre_classifier.cli.library_job import JobError, LibraryJob, classify_library  # noqa: PLC0415

    try:
        return classify_library(LibraryJob(**vars(args)))
    except JobError as error:
        print(error, file=sys.stderr)
        return WRONG_USE


def main() -> None:
    """Run, and exit with the code; what is written stays written when interrupted."""
    args = parse_args()
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be UTF-8, and must not end the run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(run(args))
    except KeyboardInterrupt:
        # Without waiting for the files under way; what is done has been written.
        sys.stdout.flush()
        os._exit(INTERRUPTED)
    except BrokenPipeError:  # the reader has seen enough; Python would complain of the rest when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except OSError as error:
        print(f"The output cannot be written: {error.strerror}.", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
