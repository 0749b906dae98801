"""A fuzz target for decoding: `python -m tests.fuzz --seconds 600` breaks files at random and decodes them.

Whatever comes out is a clip or an AudioError with one sentence, within the limits of a decoder process, and the next
file is read as if nothing had been. A file that shows otherwise is kept beside the report.
"""

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from pathlib import Path

from genre_classifier.audio import AudioError
from genre_classifier.audio.decoder_pool import DecoderPool
from genre_classifier.clip import Clip
from tests.support import hostile
from tests.support.audio import encode_av, tone
from tests.support.songs import Song, mutants, songs

PER_ROUND = 40  # mutants between two looks at a good file
AV = {"m4a": ("mp4", "aac"), "wma": ("asf", "wmav2"), "ts": ("mpegts", "aac"), "webm": ("webm", "libopus")}


def originals() -> list[Song]:
    """Short songs of every family of formats, and some that are made to cost."""
    made = songs(8, longest=6.0)
    for name, (container, codec) in AV.items():
        rate = 48_000 if codec == "libopus" else 44_100
        made.append(Song(f"song.{name}", encode_av(tone(5, rate=rate), rate, container, codec)))
    made.append(Song("tables.mp4", hostile.mp4(samples=1000, chunks=100, edits=10)))
    made.append(Song("frames.mp3", hostile.id3_frames(50)))
    return made


def fuzz(seconds: float, seed: int, keep: Path) -> Counter[str]:
    """Decode broken files for so long; how often each kind of outcome came.

    Raises:
        AssertionError: something else came of a file than a clip or a sentence; the file is in the folder `keep`.
    """
    outcomes: Counter[str] = Counter()
    pool = DecoderPool(1)
    good = originals()[0]
    expected = Clip()
    list(expected.read(good.content))
    end = time.monotonic() + seconds
    try:
        for turn in itertools.count():
            for song in mutants(originals(), PER_ROUND, seed=random.Random(f"{seed} {turn}").randrange(2**32)):
                outcomes[_decode(pool, song, keep)] += 1
            clip = Clip()
            list(pool.read(clip, good.content))
            assert clip == expected, "A good file was read otherwise after broken ones."
            if time.monotonic() > end:
                return outcomes
    finally:
        pool.close()


def _decode(pool: DecoderPool, song: Song, keep: Path) -> str:
    try:
        clip = Clip()
        list(pool.read(clip, song.content, max_seconds=60))
    except AudioError as error:
        if str(error).endswith(".") and "\n" not in str(error):
            return error.kind
        raise
    except BaseException:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / song.name).write_bytes(song.content)
        raise
    return "cut short" if clip.warning else "whole"


def main() -> None:
    """Fuzz, and print what came."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="where files that show a fault are kept")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    outcomes = fuzz(args.seconds, args.seed, args.keep)
    print(*(f"{count:8} {kind}" for kind, count in outcomes.most_common()), sep="\n")
    sys.exit(0)


if __name__ == "__main__":
    main()
