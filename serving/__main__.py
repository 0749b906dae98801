"""Tell the genre of files and folders from the command line, without a server: python -m serving PATH..."""

import argparse
import io
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from serving.quiet import mute_libraries

if TYPE_CHECKING:  # the rest is imported late, so that --help answers at once
    from concurrent.futures import ThreadPoolExecutor

    from serving.session import GenreSession
    from serving.settings import Settings
    from serving.verdict import Verdict

# What a folder is searched for; a file that is named is tried whatever its name says.
SUFFIXES = """.aac .aif .aifc .aiff .amr .ape .asf .au .caf .flac .m4a .m4b .mka .mkv .mov .mp2 .mp3 .mp4 .mpga .oga
.ogg .ogv .opus .snd .wav .wave .webm .wma .wv"""
FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130
CPU_BATCH = 16  # chunks; a CPU is no faster with more
FILES_AHEAD = 4  # for each thread: a long file holds up the answers of those after it, and not the work on them
BATCHES_AHEAD = 4  # of a file: its one thread decodes about as fast as one or two judge


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; ends with exit code 2 where it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m serving", description="Tell the genre of music files: a table, JSON Lines or CSV."
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="audio files, and folders of them")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_const", const="json", dest="form", help="one JSON object a line")
    form.add_argument("--csv", action="store_const", const="csv", dest="form", help="one line a file, for spreadsheets")
    parser.add_argument("--top-k", type=int, metavar="K", help="list only the K most probable genres")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there instead of to the screen")
    parser.add_argument(
        "--skip-existing", action="store_true", help="go on with an --output of --json or --csv: skip what is in it"
    )
    parser.set_defaults(form="table")
    args = parser.parse_args(arguments)
    if args.top_k is not None and args.top_k < 1:
        parser.error("--top-k must be 1 or more")
    if args.skip_existing and (args.output is None or args.form == "table"):
        parser.error("--skip-existing needs --output FILE and --json or --csv")
    return args


def run(paths: list[Path], form: str, top_k: int | None, output: Path | None, *, skip_existing: bool) -> int:
    """Classify all files; exit code 1 if any failed, 2 if the model or the output cannot be used."""
    import logging  # noqa: PLC0415
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    from tqdm import tqdm  # noqa: PLC0415

    from audio import AudioError  # noqa: PLC0415
    from serving.clip import SilentClipError  # noqa: PLC0415
    from serving.parallel import cores, in_order  # noqa: PLC0415
    from serving.report import ReportError, open_report  # noqa: PLC0415
    from serving.session import GenreSession, ModelError  # noqa: PLC0415
    from serving.settings import read_settings  # noqa: PLC0415

    logging.getLogger("bentoml.genre").setLevel(logging.ERROR)  # a run on the CPU is nothing to warn a person of
    settings = read_settings()
    found = find_files(paths)
    if not found:
        print("There are no audio files in what was named.", file=sys.stderr)
        return WRONG_USE
    if output and output.exists() and is_music(output, found):
        print(f"--output {output} would write over a piece of music.", file=sys.stderr)
        return WRONG_USE
    try:
        # Several runs of the session at a time share out the cores better than threads within one run do.
        threads = settings.threads or 1
        workers = max(1, cores() // threads)
        session = GenreSession(
            settings.model,
            provider=settings.provider,
            threads=threads,
            gpu_memory_mb=settings.gpu_memory_mb,
        )
        if top_k is not None and top_k > len(session.info.labels):
            print(f"--top-k must be from 1 to {len(session.info.labels)}.", file=sys.stderr)
            return WRONG_USE
        report = open_report(output, form, session.info.labels, resume=skip_existing, ranking=bool(top_k and top_k > 1))
    except (ModelError, ReportError) as error:
        print(error, file=sys.stderr)
        return WRONG_USE
    failed = 0
    with report:
        files = [file for file in found if str(file) not in report.done]
        # Not left to the end of a block, which would wait for the files under way when it is interrupted.
        readers, runners = ThreadPoolExecutor(workers), ThreadPoolExecutor(workers)
        verdicts = in_order(
            readers, lambda file: classify(file, session, runners, settings, top_k), files, FILES_AHEAD * workers
        )
        for file in tqdm(files, unit="file", disable=None, leave=False):  # silent where there is no terminal
            try:
                report.write(str(file), next(verdicts).result())
            except (AudioError, SilentClipError) as error:
                failed += 1
                tqdm.write(f"{file}: {error}", file=sys.stderr)
    if failed:
        print(f"{failed} of {len(files)} files could not be judged.", file=sys.stderr)
    return FAILED if failed else 0


def find_files(paths: list[Path]) -> list[Path]:
    """Every file named, and those of the folders that have an audio file's suffix; each once, in order."""
    suffixes = frozenset(SUFFIXES.split())
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
            found.update(dict.fromkeys(sorted(inside)))
        else:
            found[path] = None
    return list(found)


def is_music(output: Path, files: list[Path]) -> bool:
    """Whether the output is one of the files to judge, or is called like one."""
    return output.suffix.lower() in SUFFIXES.split() or output.resolve() in map(Path.resolve, files)


def classify(
    file: Path, session: "GenreSession", runners: "ThreadPoolExecutor", settings: "Settings", top_k: int | None
) -> "Verdict":
    """The verdict on one file, which is decoded here while the runners judge what has been.

    Raises:
        AudioError, SilentClipError: it cannot be judged.
    """
    import numpy as np  # noqa: PLC0415

    from serving.clip import Clip  # noqa: PLC0415
    from serving.parallel import in_order  # noqa: PLC0415
    from serving.session import CPU  # noqa: PLC0415
    from serving.verdict import Wish, decide  # noqa: PLC0415

    clip = Clip()
    size = min(settings.max_batch_size, CPU_BATCH) if session.info.provider == CPU else settings.max_batch_size
    # What a service must refuse is one's own business here, unless it is asked for.
    longest = settings.max_seconds if "max_seconds" in settings.model_fields_set else math.inf
    batches = clip.read(file, max_seconds=longest, size=size)
    log_probs = [run.result()[0] for run in in_order(runners, session.run, batches, BATCHES_AHEAD)]
    return decide(clip, np.concatenate(log_probs), session.info, Wish(top_k=top_k))


def main() -> None:
    """Run, and leave with the exit code; what is written stays written when interrupted."""
    args = parse_args()
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be UTF-8, and must not end the run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    mute_libraries()
    try:
        sys.exit(run(**vars(args)))
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
        sys.exit(WRONG_USE)


if __name__ == "__main__":
    main()
