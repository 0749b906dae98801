"""The memory of a long run."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from tests.support import ROOT
from tests.support.audio import encode, tone
from tests.support.parquet import read

FILES, PART = 20_000, 1000
MIB = 2**20


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_is_flat_over_20_000_files(stand_in, tmp_path):
    """Of the process and its decoders together, from the first fifth of the parts to the last."""
    clip = tmp_path / "clip.wav"
    clip.write_bytes(encode(tone(3)))
    (tmp_path / "music").mkdir()
    for number in range(FILES):
        (tmp_path / "music" / f"{number}.wav").hardlink_to(clip)
    output = tmp_path / "out"
    command = [sys.executable, "-m", "batch", tmp_path / "music", output, "--files-per-part", str(PART)]
    environment = {**os.environ, "GENRE_MODEL": str(stand_in), "GENRE_PROVIDER": "cpu"}
    highest = [0] * (FILES // PART + 1)  # by the number of parts that are written
    with subprocess.Popen([*map(str, command)], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as run:
        while run.poll() is None:
            done = len(list(output.glob("*.parquet")))
            highest[done] = max(highest[done], memory(psutil.Process(run.pid)))
            time.sleep(0.2)
    assert run.returncode == 0
    assert len(read(output)) == FILES
    parts = FILES // PART
    early, late = max(highest[2 : parts // 5 + 2]), max(highest[-(parts // 5) :])
    print(f"{early / MIB:.0f} MiB in the first fifth, {late / MIB:.0f} MiB in the last")
    assert late < early * 1.05 + 8 * MIB


def memory(process):
    """Bytes of a process and its children, each shared page once."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
        except psutil.Error:
            continue
    return total
