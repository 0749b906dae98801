"""A control group with a limit on CPUs, which a test may put a process into."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CGROUPS = Path("/sys/fs/cgroup")
PERIOD = 100_000  # microseconds


@contextmanager
def limited_group(cpus: float) -> Iterator[Callable[[], None]]:
    """Make a group that may use so many CPUs; gives what puts the calling process into it (a preexec_fn).

    The test is skipped where no such group can be made: that takes root and a writable hierarchy.
    """
    version_2 = (CGROUPS / "cgroup.controllers").exists()
    group = (CGROUPS if version_2 else CGROUPS / "cpu") / f"genre-test-{uuid.uuid4().hex[:8]}"
    quota = round(cpus * PERIOD)
    limits = {"cpu.max": f"{quota} {PERIOD}"} if version_2 else {"cpu.cfs_quota_us": str(quota)}
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error.strerror}")
    try:
        for name, value in limits.items():
            try:
                (group / name).write_text(value)
            except OSError as error:
                pytest.skip(f"no control group can be limited here: {error.strerror}")
        yield lambda: (group / "cgroup.procs").write_text(str(os.getpid())) and None
    finally:
        group.rmdir()
