"""The locked requirements: complete, in agreement, with hashes; what installs them; the licences of what they name."""

import os
import platform
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import distributions, files, metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from genre_classifier.session import has_nvidia_driver
from tests.support import ROOT

EXTRAS = {"cpu": ("cpu", "serve"), "gpu": ("gpu", "serve"), "dev": ("dev",)}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PIN = re.compile(r"^([\w.-]+)==([^ ]+)((?: ;[^\\\n]*)?)((?: \\\n +--hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


def locked(name):
    """What requirements/NAME.txt pins: versions by canonical name."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    pins = PIN.findall(text)
    requirements = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(pins) == len(requirements) > 50  # each has hashes
    return {canonicalize_name(name): version for name, version, _, _ in pins}


def wanted(extras):
    """The requirements of the project with these extras, those of its other extras included."""
    found = list(map(Requirement, PROJECT["dependencies"]))
    for extra in extras:
        for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
            own = requirement.name == PROJECT["name"]
            found += wanted(sorted(requirement.extras)) if own else [requirement]
    return found


def installed():
    return {canonicalize_name(distribution.name) for distribution in distributions()}


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_satisfies_the_project(name):
    pins = locked(name)
    for requirement in wanted(EXTRAS[name]):
        if canonicalize_name(requirement.name) != "torch":
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_names_no_host(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not re.findall(r"://|--(?:extra-)?index-url|--find-links", text)


def test_the_locks_agree():
    cpu, gpu, dev = map(locked, EXTRAS)
    assert cpu.keys() - gpu.keys() == {"onnxruntime"}
    assert cpu.items() <= dev.items()
    assert {name: version for name, version in gpu.items() if name in cpu}.items() <= cpu.items()
    assert gpu["onnxruntime-gpu"] == cpu["onnxruntime"]


def test_each_lock_holds_what_it_is_for():
    cpu, gpu, dev = map(locked, EXTRAS)
    cuda = {"nvidia-cublas", "nvidia-cuda-runtime", "nvidia-cudnn-cu13", "nvidia-cufft", "nvidia-curand"}
    assert cuda | {"onnxruntime-gpu"} <= gpu.keys()
    assert not (cuda | {"onnxruntime-gpu", "triton", "torch"}) & dev.keys()
    assert not {"torch", "librosa", "numba", "pytest", "matplotlib"} & (cpu.keys() | gpu.keys())


def test_torch_is_installed_by_the_makefile_within_the_project_s_bounds():
    (version,) = re.findall(r"^TORCH = torch==(\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (torch,) = [requirement for requirement in wanted(["train"]) if requirement.name == "torch"]
    assert torch.specifier.contains(version)


def test_the_notices_name_whatever_is_under_the_gpl_lgpl_or_mpl():
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text()
    named = set(re.findall(r"[\w.-]+", notices))
    for package in locked("cpu").keys() & installed():
        licences = [*metadata(package).get_all("Classifier", []), *metadata(package).get_all("License-Expression", [])]
        if re.search(r"GPL|MPL|Mozilla", " ".join(licences)):
            assert package in named, package


@pytest.mark.parametrize("package", ["av", "numpy", "pyzmq"])
def test_the_notices_name_the_libraries_inside_a_package(package):
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text()
    inside = {re.split(r"[-.]", path.name)[0] for path in files(package) if ".libs/" in path.as_posix()}
    if not inside:
        pytest.skip(f"{package} brings no libraries on this platform")
    assert not {name for name in inside if name not in notices}


@pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64", reason="no GPU runtime is built here"
)
@pytest.mark.parametrize(
    ("lock", "other_lock", "other"), [("gpu", "cpu", "onnxruntime"), ("cpu", "gpu", "onnxruntime-gpu")]
)
def test_make_serve_installs_the_runtime_that_fits_the_machine(lock, other_lock, other, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    if lock == "gpu":  # any library that loads will do for a driver
        (library,) = [path for path in files("soundfile") if path.name.startswith("libsndfile")]
        shutil.copy(library.locate(), tmp_path / "libcuda.so.1")
        environment["LD_LIBRARY_PATH"] = str(tmp_path)
    elif has_nvidia_driver():
        pytest.skip("this machine has an NVIDIA driver")
    command = ["make", "--dry-run", f"VENV={tmp_path / 'venv'}", "serve"]
    plan = subprocess.check_output(command, cwd=ROOT, env=environment, text=True)
    # The other runtime goes first, for both packages write the same folder.
    assert re.search(
        rf"uninstall --yes {other}\n(?s:.*)install --require-hashes --requirement requirements/{lock}\.txt", plan
    )
    assert f"requirements/{other_lock}.txt" not in plan
