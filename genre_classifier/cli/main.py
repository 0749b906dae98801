"""`genre-classifier PATH...`: classify files and folders of music without a server."""

import argparse
import io
import os
import sys

from genre_classifier.cli.arguments import parse_args

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for; the exit code."""
    # Imported here, so that --help answers at once.
    from genre_classifier.cli.results import JobError  # noqa: PLC0415

    try:
        if args.undo:
            from genre_classifier.cli.undo import undo  # noqa: PLC0415

            return undo(args.undo, quiet=args.quiet)
        if args.similar_to:
            from genre_classifier.cli.similar import SimilarJob, print_similar  # noqa: PLC0415

            return print_similar(SimilarJob(args.similar_to, args.inside, args.form, args.top_k, args.model))
        from genre_classifier.cli.library_job import LibraryJob, classify_library  # noqa: PLC0415

        return classify_library(LibraryJob.from_arguments(args))
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
