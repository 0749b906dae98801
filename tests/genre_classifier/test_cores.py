"""Cores by the quota of control groups: trees as kernels show them, and a real group where root may make one."""

import os
import subprocess
import sys

import pytest

from genre_classifier import cores as module
from genre_classifier.cores import cores, limited_cores
from tests.support import ROOT
from tests.support.cgroup import limited_group


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Make a process's files: its groups, where they are mounted, and their limits. Says how many cores it has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)

    def make(groups, mounts, files):
        process = tmp_path / "proc"
        process.mkdir()
        (process / "cgroup").write_text("".join(f"{line}\n" for line in groups))
        lines = ["1 0 8:1 / / rw - ext4 /dev/root rw"]
        for root, mounted, kind, controller in mounts:
            lines.append(f"30 1 0:30 {root} {tmp_path / mounted} rw - {kind} {kind} rw,{controller}")
        (process / "mountinfo").write_text("".join(f"{line}\n" for line in lines))
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        return cores(process)

    return make


VERSION_2 = [("/", "sys", "cgroup2", "")]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("200000 100000", 2), ("150000 100000", 2), ("20000 100000", 1), ("max 100000", 64), ("9900000 100000", 64)],
)
def test_a_container_has_its_quota(machine, limit, expected):
    assert machine(["0::/"], VERSION_2, {"sys/cpu.max": f"{limit}\n"}) == expected


def test_a_group_is_limited_by_those_above_it(machine):
    files = {"sys/pod/cpu.max": "300000 100000", "sys/pod/one/cpu.max": "max 100000", "sys/cgroup.procs": ""}
    assert machine(["0::/pod/one"], VERSION_2, files) == 3


def test_version_1_is_read_where_its_controller_is_mounted(machine):
    groups = ["5:memory:/docker/a", "4:cpu,cpuacct:/docker/a", "0::/"]
    mounts = [("/", "sys/memory", "cgroup", "memory"), ("/docker/a", "sys/cpu", "cgroup", "cpu,cpuacct")]
    files = {"sys/cpu/cpu.cfs_quota_us": "400000", "sys/cpu/cpu.cfs_period_us": "100000"}
    assert machine(groups, mounts, files) == 4


def test_a_path_of_the_machine_finds_the_groups_own_mount(machine):
    files = {"sys/cpu.max": "100000 100000"}
    assert machine(["0::/kubepods/pod1/a"], [("/kubepods/pod1/a", "sys", "cgroup2", "")], files) == 1


def test_a_group_above_the_mount_is_the_mount(machine):
    assert machine(["0::/../other"], [("/own", "sys", "cgroup2", "")], {"sys/cpu.max": "500000 100000"}) == 5


@pytest.mark.parametrize("text", ["", "many of them", "-1 100000"])
def test_what_cannot_be_read_limits_nothing(machine, text):
    assert machine(["0::/"], VERSION_2, {"sys/cpu.max": text}) == 64


def test_without_proc_affinity_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 5}, raising=False)
    assert cores(tmp_path / "missing") == 3


@pytest.mark.parametrize(("allowed", "expected"), [(8, 0), (3, 3)])
def test_the_session_is_told_of_a_limit_alone(monkeypatch, allowed, expected):
    """Where there is none, ONNX Runtime knows better how many physical cores there are."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(module, "cores", lambda: allowed)
    assert limited_cores() == expected


SAY = """
from genre_classifier.cores import cores
from genre_classifier.settings import read_settings
from serving.settings import ServiceSettings
print(cores(), read_settings(ServiceSettings).workers)
"""


def test_a_process_in_a_limited_group_finds_its_limit():
    with limited_group(cpus=1) as enter:
        said = subprocess.check_output([sys.executable, "-c", SAY], cwd=ROOT, preexec_fn=enter, text=True)
    assert said.split() == ["1", "2"]
