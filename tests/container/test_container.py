"""The image, built and run as a user would: `make container-test`, as root, with buildah; no Docker engine is needed.

GENRE_BENTOFILE names the bentofile; the default is bentofile.cpu.yaml.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from tests.support import ROOT
from tests.support.cgroup import limited_group
from tests.support.parquet import read
from tests.support.server import free_port
from tests.support.songs import recording

BENTOFILE = os.environ.get("GENRE_BENTOFILE", "bentofile.cpu.yaml")
BASE_IMAGE = "docker.io/library/python:3.11-slim"
IMAGE = "genre_classifier:container-test"
RAY_IMAGE = "genre_classifier:container-test-ray"
HOME = "/home/bentoml/bento"
USER = 1034
NOT_ON_DISK = {"dev", "proc", "sys", "tmp"}
# Mount points and the files that are bound in every container.
BOUND = {"etc/hosts", "etc/resolv.conf", "run", "run/.containerenv"}

pytestmark = [pytest.mark.container, pytest.mark.timeout(1800)]


def buildah(*arguments):
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    return subprocess.check_output(["buildah", *arguments], env=environment, text=True).strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The image of this working tree; its size is printed."""
    if not shutil.which("buildah"):
        pytest.skip("buildah is missing: apt-get install buildah debootstrap crun fuse-overlayfs")
    if os.geteuid():
        pytest.skip("only root can run containers without an engine")
    if subprocess.run(["buildah", "pull", "--quiet", "--policy", "missing", BASE_IMAGE], check=False).returncode:
        subprocess.run(["bash", Path(__file__).with_name("make_base_image.sh"), BASE_IMAGE], check=True)
    home = tmp_path_factory.mktemp("bentoml")
    variables = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true", "BUILDAH_ISOLATION": "chroot"}
    for command in (
        ["build", "--bentofile", BENTOFILE],
        ["containerize", "genre_classifier:latest", "-t", IMAGE, "--backend", "buildah", "--opt", "network=host"],
    ):
        subprocess.run(
            [sys.executable, "-m", "bentoml", *command], cwd=ROOT, env={**os.environ, **variables}, check=True
        )
    for name in (BASE_IMAGE, f"localhost/{IMAGE}"):
        (listed,) = json.loads(buildah("images", "--json", name))
        print(f"{BENTOFILE}: {name} has {listed['size']}")
    yield f"localhost/{IMAGE}"
    buildah("rmi", "--force", IMAGE)


class Container:
    """A container under way, on a port of loopback."""

    def __init__(self, image, log, *options):
        self.name = buildah("from", image)
        self.tree = Path(buildah("mount", self.name))
        self.before = self.files()
        self.port = free_port()
        self.log = log
        command = [
            *("buildah", "run", "--isolation", "chroot", "--network", "host", "--user", "bentoml"),
            *("--workingdir", HOME, "--env", "BENTOML_HOST=127.0.0.1", *options, self.name, "--"),
            *(f"{HOME}/env/docker/entrypoint.sh", "serve", "--port", str(self.port)),
        ]
        with log.open("wb") as output:
            self.run = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def wait(self):
        """Until it is ready."""
        end = time.monotonic() + 60
        while time.monotonic() < end and self.run.poll() is None:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise RuntimeError(self.log.read_text())

    def processes(self):
        """Those of the container, the first of them first."""
        children = psutil.Process(self.run.pid).children(recursive=True)
        return sorted(
            (child for child in children if "buildah" not in child.cmdline()[0]), key=lambda child: child.create_time()
        )

    def memory(self):
        """Bytes that its processes hold of their own."""
        return sum(process.memory_full_info().uss for process in self.processes())

    def files(self):
        """All that lies on its disk but in /tmp: names, with what a change would change."""
        found = {}
        for folder, folders, names in os.walk(self.tree):
            if Path(folder) == self.tree:
                folders[:] = set(folders) - NOT_ON_DISK
            for name in (*folders, *names):
                path = Path(folder, name)
                status = path.lstat()
                # A folder's time changes with what is in it, which is seen by itself.
                changing = () if path.is_dir() else (status.st_mtime_ns, status.st_size)
                found[str(path.relative_to(self.tree))] = (status.st_mode, status.st_uid, *changing)
        return {name: status for name, status in found.items() if name not in BOUND}

    def terminate(self):
        """What the engine does to stop it; gives the exit code."""
        self.processes()[0].send_signal(signal.SIGTERM)
        return self.run.wait(90)

    def remove(self):
        for process in self.processes() if self.run.poll() is None else ():
            process.kill()
        self.run.wait(30)
        self.client.close()
        buildah("rm", self.name)


@pytest.fixture(scope="module")
def container(image, tmp_path_factory):
    container = Container(image, tmp_path_factory.mktemp("log") / "container.log")
    try:
        container.wait()
        yield container
    finally:
        container.remove()


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    song = recording("MP3", 30)
    path = tmp_path_factory.mktemp("song") / song.name
    path.write_bytes(song.content)
    return path


def classify(container, song):
    return container.client.post("/classify", files={"audio": (song.name, song.read_bytes())})


def test_it_answers_as_the_command_line_does(container, song):
    answer = classify(container, song)
    assert answer.status_code == 200, answer.text
    environment = {**os.environ, "GENRE_PROVIDER": "cpu"}
    here = json.loads(
        subprocess.check_output([sys.executable, "-m", "genre_classifier", "--json", song], cwd=ROOT, env=environment)
    )
    there = answer.json()
    assert there["genre"] == here["genre"]
    assert there["probabilities"] == pytest.approx(here["probabilities"], abs=1e-4)
    assert there["model"] == here["model"]
    assert "drop" in container.client.get("/").text.lower()


def test_it_runs_as_a_user_without_rights(container):
    processes = container.processes()
    assert len(processes) >= 4
    assert {process.uids() for process in processes} == {(USER, USER, USER)}


def test_two_hundred_requests_leave_the_memory_as_it_is(container, song):
    def ask(_):
        return classify(container, song).status_code

    with ThreadPoolExecutor(16) as clients:
        assert set(clients.map(ask, range(64))) == {200}  # a batch of the largest size among them
    with ThreadPoolExecutor(4) as clients:
        before = container.memory()
        assert set(clients.map(ask, range(200))) == {200}
    after = container.memory()
    print(f"{before / 2**20:.0f} MiB before 200 requests, {after / 2**20:.0f} MiB after")
    assert after < before + 64 * 2**20
    assert after < 2**30


def test_broken_files_and_too_much_of_them_are_refused(container):
    for content, status in ((b"no music", 400), (recording("WAV", 2).content, 422)):
        answer = container.client.post("/classify", files={"audio": content})
        assert answer.status_code == status
        assert list(answer.json()) == ["error"]


def test_told_to_stop_it_answers_what_it_has_and_has_written_to_tmp_alone(image, song, tmp_path):
    container = Container(image, tmp_path / "container.log")
    try:
        container.wait()
        assert classify(container, song).status_code == 200
        with ThreadPoolExecutor(8) as clients:
            answers = [clients.submit(classify, container, song) for _ in range(8)]
            time.sleep(0.1)
            begin = time.monotonic()
            assert container.terminate() == 0
            print(f"stopped after {time.monotonic() - begin:.1f} s")
            assert [answer.result().status_code for answer in answers] == [200] * 8
        assert container.files() == container.before
    finally:
        container.remove()


def test_another_model_comes_by_a_volume(image, song, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(ROOT / "artifacts" / "genre.onnx", models / "other.onnx")
    options = (
        "--volume",
        f"{models}:/models:ro",
        "--env",
        "GENRE_MODEL=/models/other.onnx",
        "--env",
        "GENRE_WORKERS=1",
    )
    container = Container(image, tmp_path / "container.log", *options)
    try:
        container.wait()
        assert classify(container, song).status_code == 200
        assert container.client.get("/model").json()["labels"]
    finally:
        container.remove()
    (models / "other.onnx").write_bytes(b"no model")
    container = Container(image, tmp_path / "container.log", *options)
    try:
        assert container.run.wait(60) != 0
        assert "/models/other.onnx is not a model that ONNX Runtime can load" in container.log.read_text()
    finally:
        container.remove()


def test_limited_to_one_cpu_it_takes_one_for_its_cores(image):
    name = buildah("from", image)
    command = ["python", "-c", "from genre_classifier.cores import cores; print(cores())"]
    try:
        with limited_group(cpus=1) as enter:
            said = subprocess.check_output(
                ["buildah", "run", "--isolation", "chroot", "--workingdir", f"{HOME}/src", name, "--", *command],
                preexec_fn=enter,
                text=True,
            )
    finally:
        buildah("rm", name)
    assert said.strip() == "1"


def test_batch_runs_in_the_same_image(image, song, tmp_path):
    output = tmp_path / "output"
    output.mkdir(mode=0o777)
    output.chmod(0o777)  # for the image's own user
    song.parent.chmod(0o755)
    name = buildah("from", image)
    try:
        said = buildah(
            *("run", "--isolation", "chroot", "--user", "bentoml", "--workingdir", f"{HOME}/src"),
            *("--volume", f"{song.parent}:/music:ro", "--volume", f"{output}:/output", name, "--"),
            *("python", "-m", "batch", "/music", "/output"),
        )
    finally:
        buildah("rm", name)
    assert "1 rows" in said
    (row,) = read(output).values()
    assert row["genre"]
    assert not row["error"]


def test_a_layer_adds_ray(image, song, tmp_path):
    """The layer of docs/scale.md, and in it the command and the variables of deploy/kubernetes/batch/rayjob.yaml."""
    (layer,) = re.findall(r"```dockerfile\n(.*?)```", (ROOT / "docs" / "scale.md").read_text(), re.DOTALL)
    (tmp_path / "Dockerfile").write_text(re.sub(r"FROM \S+", f"FROM {image}", layer))
    buildah("bud", "--network", "host", "--tag", RAY_IMAGE, str(tmp_path))
    job = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "batch" / "rayjob.yaml").read_text())["spec"]
    (pod,) = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in pod["env"]} | {"SOURCE": "/music", "OUTPUT": "/output"}
    output = tmp_path / "output"
    output.mkdir()
    output.chmod(0o777)
    song.parent.chmod(0o755)
    start = "ray start --head --num-cpus 3 --disable-usage-stats > /dev/null"
    name = buildah("from", RAY_IMAGE)
    try:
        said = buildah(
            *("run", "--isolation", "chroot", "--user", "bentoml"),
            *(word for key, value in variables.items() for word in ("--env", f"{key}={value}")),
            *("--volume", f"{song.parent}:/music:ro", "--volume", f"{output}:/output", name, "--"),
            *("sh", "-c", f"{start}; {job['entrypoint']}; ended=$?; ray stop > /dev/null; exit $ended"),
        )
    finally:
        buildah("rm", name)
        buildah("rmi", "--force", RAY_IMAGE)
    assert "1 rows" in said
    assert len(read(output)) == 1
