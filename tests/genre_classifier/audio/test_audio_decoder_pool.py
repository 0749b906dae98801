"""Decoder processes: the same chunks as decoding here, under limits, and replaced when they are lost."""

import io
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import psutil
import pytest

from genre_classifier.audio import AudioError
from genre_classifier.audio.decoder_pool import SUPPORTED, DecoderPool
from genre_classifier.audio.decoder_process import (
    FFMPEG_ALLOCATION_MB,
    LOOK_BYTES_PER_SECOND,
    LOOK_SECONDS,
    MEMORY_MB,
    SECONDS_PER_SECOND,
)
from genre_classifier.clip import Clip
from tests.support import ROOT, hostile
from tests.support.audio import encode, encode_av, music, tone

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="no descriptors can be handed to other processes here")

SONG = encode(tone(40))  # more chunks than a decoder has slots
CORRUPT = bytearray(encode(music(44_100, 20, 2), 44_100, "MP3"))
CORRUPT[60_000::3000] = bytes(len(CORRUPT[60_000::3000]))
FILES = {
    "wav": SONG,
    "mp3": encode(music(44_100, 20, 2), 44_100, "MP3"),
    "m4a": encode_av(tone(10, rate=44_100), 44_100, "mp4", "aac"),
    "damaged mp3": bytes(CORRUPT),
    "cut flac": encode(tone(20), container="FLAC")[:200_000],
    "partly silent": encode(np.concatenate([tone(3), np.zeros(70_000, np.float32), tone(3)])),
}
BAD = {
    "empty": b"",
    "text": b"no music",
    "short": encode(tone(1)),
    "silent": encode(tone(5) * 0),
    "long": encode(tone(61, rate=8000), 8000),
}


OTHERS = set()  # of pools that other tests have


@pytest.fixture(scope="module")
def pool():
    OTHERS.update(children())
    pool = DecoderPool(2)
    yield pool
    pool.close()


def children():
    found = psutil.Process().children()
    return [child for child in found if "decoder_process" in " ".join(child.cmdline()) and child not in OTHERS]


def read(pool, source, **options):
    clip = Clip()
    return list(pool.read(clip, source, **options)), clip


@pytest.mark.parametrize("name", FILES)
def test_chunks_and_clip_are_those_of_decoding_here(pool, tmp_path, name):
    path = tmp_path / "song"
    path.write_bytes(FILES[name])
    expected = Clip()
    chunks = list(expected.read(path))
    with path.open("rb") as file:
        for source in (path, str(path), FILES[name], io.BytesIO(FILES[name]), file):
            given, clip = read(pool, source)
            np.testing.assert_array_equal(given, chunks)
            assert clip == expected


@pytest.mark.parametrize("name", BAD)
def test_refusals_are_those_of_decoding_here(pool, name):
    with pytest.raises(AudioError) as expected:
        list(Clip().read(BAD[name], max_seconds=60))
    with pytest.raises(AudioError) as given:
        read(pool, BAD[name], max_seconds=60)
    assert (str(given.value), given.value.kind) == (str(expected.value), expected.value.kind)


def test_a_missing_file_is_missing(pool):
    with pytest.raises(AudioError, match="no readable file") as refused:
        read(pool, "nowhere.mp3")
    assert refused.value.kind == "missing"


def test_the_length_is_told_before_the_first_chunk(pool):
    told = []
    chunks = pool.read(Clip(), SONG, opened=told.append)
    next(chunks)
    assert told == [pytest.approx(40)]
    chunks.close()


HOSTILE = {
    "a sample table of 80 million": lambda: hostile.mp4(samples=80_000_000),
    "200 000 MP4 chunks of 200 samples": lambda: hostile.mp4(samples=40_000_000, chunks=200_000, sample_size=1),
    "a million edits": lambda: hostile.mp4(samples=10, edits=1_000_000),
    "300 000 blocks of one sample": lambda: hostile.tiny_blocks(300_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_takes_too_much_is_refused_and_the_next_file_is_read(pool, name):
    content = HOSTILE[name]()
    with pytest.raises(AudioError) as refused:
        read(pool, content)
    assert refused.value.kind in {"too_costly", "undecodable"}
    assert len(read(pool, SONG)[0]) == 14


def test_a_million_id3_frames_are_stepped_over(pool):
    chunks, clip = read(pool, hostile.id3_frames(1_600_000))
    assert len(chunks) == 2
    assert clip.duration == pytest.approx(6, abs=0.1)


def test_a_cover_of_200_mb_is_no_music(pool):
    song = encode(tone(6), container="MP3")
    size = 200 * 2**20
    tag = b"ID3\4\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)
    assert read(pool, tag + song, max_seconds=60)[1] == read(pool, song)[1]


def test_each_process_has_its_limits(pool):
    read(pool, SONG)
    assert 1 <= len(children()) <= 2
    for child in children():
        assert child.rlimit(psutil.RLIMIT_AS)[0] == MEMORY_MB * 2**20
        assert child.rlimit(psutil.RLIMIT_CORE)[0] == child.rlimit(psutil.RLIMIT_FSIZE)[0] == 0
        assert "NoNewPrivs:\t1" in open(f"/proc/{child.pid}/status").read()  # noqa: PTH123, SIM115
        opened = {os.readlink(f"/proc/{child.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{child.pid}/fd")}  # noqa: PTH115, PTH208
        assert all(each == "/dev/null" or each.startswith(("socket:", "/memfd:genre-chunks")) for each in opened)


def test_memory_beyond_the_limit_is_refused_by_the_decoder():
    program = (
        "from genre_classifier.audio import decoder_process as p; import av; p._limit_process()\n"
        "try: bytearray(p.MEMORY_MB * 2**20)\n"
        "except MemoryError: print('refused')\n"
    )
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True) == "refused\n"
    assert FFMPEG_ALLOCATION_MB < MEMORY_MB


def test_time_beyond_the_limit_ends_the_decoder():
    program = (
        "import signal; signal.signal(signal.SIGPROF, signal.SIG_IGN)\n"
        "from genre_classifier.audio import decoder_process as p; p._limit_process(); p._allow_cpu(0.2)\n"
        "while True: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGPROF


def test_the_time_for_a_file_starts_anew_with_the_next(pool):
    """Of many files that take a process more than the time for one, none is refused."""
    song = encode(np.tile(tone(3), 10), container="MP3")
    time_for_one = LOOK_SECONDS + len(song) / LOOK_BYTES_PER_SECOND + 30 * SECONDS_PER_SECOND
    for _ in range(1000):
        assert len(read(pool, song)[0]) == 10
        if any(sum(child.cpu_times()[:2]) > 1.1 * time_for_one for child in children()):
            return
    pytest.fail("No process has worked for longer than one file may take.")


def test_a_process_that_is_killed_costs_its_own_file_alone(pool):
    chunks = pool.read(Clip(), SONG)
    next(chunks)
    other = pool.read(Clip(), SONG)
    next(other)
    busy = [child for child in children() if child.is_running()]
    assert len(busy) == 2
    for child in busy:
        child.send_signal(signal.SIGKILL)
    for each in (chunks, other):
        with pytest.raises(AudioError) as lost:
            list(each)
        assert lost.value.kind == "too_costly"
    assert len(read(pool, SONG)[0]) == 14


def test_a_process_that_is_told_to_stop_finishes_its_file(pool):
    """A supervisor tells all processes of a service to stop, while it still has answers to give."""
    chunks = pool.read(Clip(), SONG)
    next(chunks)
    for child in children():
        child.terminate()
    assert len(list(chunks)) == 13


def test_a_process_that_hangs_is_ended_at_the_deadline(pool):
    chunks = pool.read(Clip(), SONG, file_seconds=1)
    next(chunks)
    stopped = children()
    for child in stopped:
        child.suspend()
    with pytest.raises(AudioError) as late:
        list(chunks)
    assert late.value.kind == "too_costly"
    for child in stopped:
        if child.is_running():
            child.resume()
    assert len(read(pool, SONG)[0]) == 14


def test_what_is_abandoned_ends_from_another_thread(pool):
    abandoned = Event()
    chunks = pool.read(Clip(), SONG, abandoned=abandoned)
    next(chunks)
    for child in children():
        child.suspend()
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(list, chunks)
        abandoned.set()
        with pytest.raises(AudioError):
            waiting.result()
    for child in children():
        child.resume()
    assert len(read(pool, SONG)[0]) == 14


def test_many_threads_share_few_processes(pool):
    expected = list(Clip().read(SONG))
    with ThreadPoolExecutor(8) as threads:
        for chunks, _ in threads.map(lambda _: read(pool, SONG), range(24)):
            np.testing.assert_array_equal(chunks, expected)
    assert len(children()) <= 2


def test_processes_end_with_their_owner():
    program = (
        "import os, sys; from genre_classifier.clip import Clip\n"
        "from genre_classifier.audio.decoder_pool import DecoderPool\n"
        "pool = DecoderPool(2); pool.start(); chunks = pool.read(Clip(), sys.argv[1]); next(chunks)\n"
        "import psutil; print(*[child.pid for child in psutil.Process().children()], flush=True); os._exit(1)\n"
    )
    command = [sys.executable, "-c", program, str(ROOT / "artifacts" / "sample.mp3")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=30)
    assert not alive


def test_a_closed_pool_has_no_processes():
    pool = DecoderPool(2)
    before = len(children())
    read(pool, SONG)
    assert len(children()) == before + 1  # started as they are needed
    pool.close()
    assert len(children()) == before
