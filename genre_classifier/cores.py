"""How many processor cores this process may use: by its affinity, and by the quota of its control groups.

A container that is limited to two CPUs still sees every core of its machine. The limit stands in the control group's
files, which https://docs.kernel.org/admin-guide/cgroup-v2.html describes (cpu.max), and for version 1
https://docs.kernel.org/scheduler/sched-bwc.html (cpu.cfs_quota_us, cpu.cfs_period_us).
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PROCESS = Path("/proc/self")


def cores(process: Path = PROCESS) -> int:
    """Processor cores that this process may use, 1 or more; a quota of one and a half is 2."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, _quota(process))))


def limited_cores() -> int:
    """Processor cores that this process may use, where they are fewer than the machine has; else 0."""
    return cores() if cores() < (os.cpu_count() or 1) else 0


def _quota(process: Path) -> float:
    """Processors that the control groups of a process allow; infinite where none of them limits it."""
    return min((_group_quota(group) for group in _groups(process)), default=math.inf)


def _groups(process: Path) -> Iterator[Path]:
    """The folders of the control groups that a process's CPU time counts for, with those above them."""
    try:
        member_of = dict(_memberships((process / "cgroup").read_text()))
        mounts = (process / "mountinfo").read_text().splitlines()
    except OSError:  # no Linux, or no /proc
        return
    for mount in mounts:
        fields = mount.split(" ")  # number, parent, device, root, mount point, options, ..., -, kind, source, options
        kind, _, options = fields[fields.index("-") + 1 :][:3]
        controller = "" if kind == "cgroup2" else "cpu"
        if not kind.startswith("cgroup") or controller not in ("", *options.split(",")) or controller not in member_of:
            continue
        root, mounted, group = PurePosixPath(fields[3]), Path(fields[4]), PurePosixPath(member_of[controller])
        # In a container without a namespace for its groups, the path is the machine's, and its own group is mounted.
        inside = group.relative_to(root) if group.is_relative_to(root) else PurePosixPath()
        yield from (mounted / part for part in (inside, *inside.parents))


def _memberships(text: str) -> Iterator[tuple[str, str]]:
    """Controllers and the group of each, as /proc/PID/cgroup has them; version 2 has no controller's name."""
    for line in text.splitlines():
        _, controllers, group = line.split(":", 2)
        yield from ((controller, group) for controller in controllers.split(","))


def _group_quota(group: Path) -> float:
    """Processors that a group allows: microseconds of quota in each period."""
    try:
        if (limit := group / "cpu.max").exists():
            quota, period = limit.read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return math.inf if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError):  # the group above all has no such files
        return math.inf
