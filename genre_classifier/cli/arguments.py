"""The arguments of `genre-classifier`, and which of them go together."""

import argparse
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from genre_classifier import __version__
from genre_classifier.beets import PLUGIN_PATH

EXAMPLES = """examples:
  genre-classifier --json --output genres.jsonl --skip-existing Music
  genre-classifier --write-tags --dry-run Music
  genre-classifier --undo genres.tags.jsonl
  genre-classifier --similar-to song.mp3 --in genres.npz"""
OF_TAGS = ("overwrite_tags", "tag_uncertain", "dry_run", "min_confidence", "genre_names", "journal")
OF_CLASSIFYING = (
    "files_from",
    "segments",
    "output",
    "embeddings",
    "write_tags",
    "skip_existing",
    "retry_failed",
    "overwrite",
    "jobs",
    *OF_TAGS,
)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ends with exit code 2 where it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="genre-classifier",
        usage="genre-classifier PATH... [options]",
        description="Classify music files by genre, into a table, JSON Lines or CSV.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="audio files, folders of them, patterns like '*.mp3', or - for audio on standard input",
    )
    parser.add_argument(
        "--files-from", metavar="LIST", help="also take the paths in a file, one a line; - is standard input"
    )
    _add_report(parser)
    _add_tags(parser.add_argument_group("genre tags"))
    similar = parser.add_argument_group("similar music")
    similar.add_argument("--similar-to", metavar="FILE", help="list the music of --in that sounds most like this file")
    similar.add_argument("--in", type=Path, dest="inside", metavar="FILE.npz", help="what --embeddings has written")
    parser.add_argument(
        "--model", metavar="MODEL", help="genre, cnn or the path of an ONNX file; default: GENRE_MODEL or genre"
    )
    parser.add_argument("--jobs", type=_positive, metavar="N", help="cores to use; default: all")
    parser.add_argument("--quiet", action="store_true", help="show no progress and no summary; errors are told")
    parser.add_argument(
        "--beets-path", action="version", version=str(PLUGIN_PATH), help="print the folder for beets' option pluginpath"
    )
    parser.add_argument("--version", action="version", version=f"genre-classifier {__version__}")
    parser.set_defaults(form="table")
    args = parser.parse_intermixed_args(arguments)
    _check(parser, args)
    return args


def _add_report(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_const", const="json", dest="form", help="write one JSON object a line")
    form.add_argument(
        "--csv", action="store_const", const="csv", dest="form", help="write one row a file, for spreadsheets"
    )
    parser.add_argument(
        "--top-k", type=int, metavar="K", help="list only the K most probable genres, or the K most similar files"
    )
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
        "--skip-existing",
        action="store_true",
        help="continue an --output of --json or --csv: skip the files that are in it",
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="with --skip-existing, try again the files that failed"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="let --output and --embeddings replace a file that this program did not write (music is never replaced)",
    )


def _add_tags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--write-tags",
        action="store_true",
        help="also write the genre into the tags of files that have none and whose genre is certain; needs mutagen",
    )
    group.add_argument("--overwrite-tags", action="store_true", help="also replace the genre that stands there")
    group.add_argument(
        "--tag-uncertain",
        action="store_true",
        help="also tag files that are uncertain, not recognised or damaged",
    )
    group.add_argument("--min-confidence", type=_share, metavar="P", help="tag only files of this confidence, 0 to 1")
    group.add_argument(
        "--genre-names", type=Path, metavar="FILE", help="names to write, a line for each: hiphop = Hip-Hop"
    )
    group.add_argument("--dry-run", action="store_true", help="say what would be written into the tags; write none")
    group.add_argument(
        "--journal", type=Path, metavar="FILE", help="where to note the genres that stood there, for --undo"
    )
    group.add_argument("--undo", type=Path, metavar="FILE", help="put back the genres that a journal has")


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with exit code 2 where options do not go together."""
    if not all(args.paths):  # an unset variable of the shell must not mean the current folder
        parser.error("a PATH is empty")
    mistakes = _of_other_jobs(args) if args.undo or args.similar_to else _of_classifying(args)
    if mistake := next((sentence for sentence, holds in mistakes if holds), None):
        parser.error(mistake)


def _of_other_jobs(args: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    """What can be wrong with --undo and --similar-to, and whether it is."""
    alone = "--undo" if args.undo else "--similar-to"
    classifying = bool(args.paths) or any(getattr(args, name) for name in OF_CLASSIFYING)
    yield f"{alone} takes no PATH and none of the options for classifying", classifying
    others = args.form != "table" or args.top_k or args.inside or args.model or args.similar_to
    yield "--undo goes with --quiet alone", bool(args.undo and others)
    yield "--similar-to needs --in FILE.npz, which --embeddings has written", not args.undo and not args.inside


def _of_classifying(args: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    """What can be wrong with classifying, and whether it is."""
    yield "--in goes with --similar-to", bool(args.inside)
    yield "name a PATH or --files-from", not args.paths and not args.files_from
    continued = args.output is not None and args.form != "table"
    yield "--skip-existing needs --output FILE and --json or --csv", args.skip_existing and not continued
    yield "--retry-failed goes with --skip-existing", args.retry_failed and not args.skip_existing
    both = args.skip_existing and args.overwrite
    yield "--skip-existing continues what --overwrite would replace: use one of them", both
    of_tags = [f"--{name.replace('_', '-')}" for name in OF_TAGS if getattr(args, name) not in {None, False}]
    yield f"{' and '.join(of_tags)} without --write-tags has no effect", bool(of_tags) and not args.write_tags
    yield "--write-tags has no file to write to on standard input", args.write_tags and "-" in args.paths
    yield "standard input is a list or audio, not both", args.files_from == "-" and "-" in args.paths


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return int(text)


def _share(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
