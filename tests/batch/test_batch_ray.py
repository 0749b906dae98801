"""A Ray cluster of two nodes on this machine, whose nodes, actors and drivers are killed."""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest
from ray.cluster_utils import Cluster

from batch.ray_pool import PartActor, RayError, _places
from batch.worker import WorkerOptions
from genre_classifier.settings import Settings
from tests.support import ROOT
from tests.support.parquet import FILES, inodes, read, without_time
from tests.support.server import free_port

PARTS = ("--files-per-part", "10")
WAIT_SECONDS = 120


class Local:
    """What a run makes itself."""

    address = "local"


@pytest.fixture
def cluster():
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        yield cluster
    finally:
        cluster.shutdown()


def start(music, output, cluster, stand_in, *options):
    environment = {**os.environ, "GENRE_MODEL": str(stand_in), "GENRE_PROVIDER": "cpu"}
    command = [sys.executable, "-m", "batch", music, output, *PARTS, "--ray", cluster.address, *options]
    return subprocess.Popen(
        [*map(str, command)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_parts(output, count, driver):
    end = time.monotonic() + WAIT_SECONDS
    while len(inodes(output)) < count:
        assert driver.poll() is None, driver.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.02)


def actors():
    """The processes of this test's actors: descendants of this process, as the cluster is."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "MapWorker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_kills_cost_no_row(cluster, batch, music, stand_in, tmp_path, seed):  # noqa: PLR0917
    rng = random.Random(seed)
    output = tmp_path / "out"
    node = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    driver = start(music, output, cluster, stand_in)
    wait_for_parts(output, rng.randrange(1, 6), driver)
    first = inodes(output)
    cluster.remove_node(node, allow_graceful=False)
    wait_for_parts(output, len(inodes(output)) + rng.randrange(1, 4), driver)
    driver.kill()
    driver.communicate()
    second = inodes(output)
    assert first.items() <= second.items()
    assert len(second) < FILES // 10
    driver = start(music, output, cluster, stand_in)
    wait_for_parts(output, len(inodes(output)) + rng.randrange(1, 4), driver)
    victims = actors()
    assert victims
    victims[0].kill()
    said, _ = driver.communicate(timeout=WAIT_SECONDS)
    assert driver.returncode == 0, said
    assert second.items() <= inodes(output).items()
    assert len(inodes(output)) == FILES // 10
    rows = read(output)
    assert len(rows) == FILES
    batch(music, tmp_path / "here", *PARTS)
    assert without_time(rows) == without_time(read(tmp_path / "here"))


def test_an_actor_without_its_model_says_so_and_lives(tmp_path):
    settings = Settings(model=str(tmp_path / "missing.onnx"))
    actor = PartActor(WorkerOptions(str(tmp_path / "out"), settings, file_seconds=1, file_megabytes=1))
    (said,) = actor({"number": [0], "digest": ["0"], "uris": [["a.wav"]], "ids": [["a"]]})["unusable"]
    assert said.startswith("There is no model file at")
    assert not (tmp_path / "out").exists()


def test_a_cluster_that_is_not_there_is_one_sentence(batch, music, tmp_path):
    # The actors' provider need not be where this process is.
    for address, provider in (
        (f"127.0.0.1:{free_port()}", "cuda"),
        ("nowhere.invalid:6379", "cpu"),
        ("nothing", "cpu"),
    ):
        said = batch(music, tmp_path / "out", "--ray", address, code=2, GENRE_PROVIDER=provider).stderr
        assert said == f"There is no Ray cluster at {address}.\n"


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "places"),
    [
        ([(2, 0), (2, 0)], 1, 0, 3),  # one processor stays free
        ([(2, 0), (2, 0)], 2, 0, 1),
        ([(8, 0), (8, 2)], 2, 1, 2),
        ([(8, 0), (8, 2)], 2, 0.5, 4),
        ([(3, 0), (3, 0), (3, 0)], 2, 0, 3),
        ([(2, 0), (2, 0)], 3, 0, None),  # no node has room for one
        ([(8, 0)], 1, 1, None),
        ([(1, 0)], 1, 0, None),
    ],
)
def test_actors_are_as_many_as_have_room(nodes, cpus, gpus, places):
    found = [{"Alive": True, "Resources": {"CPU": float(c), **({"GPU": float(g)} if g else {})}} for c, g in nodes]
    found.append({"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}})
    if places is None:
        with pytest.raises(RayError, match="room for an actor"):
            _places(found, cpus, gpus)
    else:
        assert _places(found, cpus, gpus) == places


@pytest.mark.slow
def test_one_actor_and_two_make_the_same_rows(cluster, batch, music, stand_in, tmp_path):
    cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    batch(music, tmp_path / "here", *PARTS)
    for actors in ("1", "2"):
        driver = start(music, tmp_path / actors, cluster, stand_in, "--actors", actors)
        said, _ = driver.communicate(timeout=WAIT_SECONDS)
        assert driver.returncode == 0, said
        assert without_time(read(tmp_path / actors)) == without_time(read(tmp_path / "here"))


@pytest.mark.slow
def test_a_local_cluster_ends_when_it_is_interrupted(music, stand_in, tmp_path):
    driver = start(music, tmp_path / "out", Local, stand_in)
    wait_for_parts(tmp_path / "out", 2, driver)
    processes = psutil.Process(driver.pid).children(recursive=True)
    assert any("raylet" in process.name() for process in processes)
    driver.send_signal(signal.SIGINT)
    said, _ = driver.communicate(timeout=WAIT_SECONDS)
    assert driver.returncode == 130, said
    _, left = psutil.wait_procs(processes, timeout=WAIT_SECONDS)
    assert not [process for process in left if process.status() != psutil.STATUS_ZOMBIE]
