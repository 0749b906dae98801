"""Files that are made to cost: their senders get 4xx, and nobody else notices."""

import io
import itertools
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event

import httpx
import numpy as np
import psutil
import pytest

from genre_classifier.audio.decoder_process import MEMORY_MB
from tests.support import hostile
from tests.support.audio import encode, tone
from tests.support.server import FRONT, MODEL, Server
from tests.support.songs import mutants, songs

SONG = encode(tone(7))


@pytest.fixture(scope="module")
def own(tmp_path_factory, served_model):
    with Server(tmp_path_factory.mktemp("hostile"), GENRE_MODEL=str(served_model), GENRE_WORKERS="2") as server:
        yield server


def decoders(server):
    found = []
    for front in server.workers(FRONT):
        with suppress(psutil.Error):  # one has just ended
            found += [child for child in front.children() if "decoder_process" in " ".join(child.cmdline())]
    return found


def test_hostile_files_are_refused_beside_a_client_that_is_answered(own):
    files = [
        hostile.mp4(samples=80_000_000),
        hostile.mp4(samples=40_000_000, chunks=200_000, sample_size=1),
        hostile.mp4(samples=10, edits=300_000),
        hostile.id3_frames(400_000),
        hostile.tiny_blocks(100_000),
        hostile.highest_rate(10),
        b"OggS" * 1000,
    ]
    over = Event()

    def ordinary():
        answers = []
        with httpx.Client(base_url=own.url, timeout=120) as client:
            while not over.is_set() or not answers:
                answers.append((client.post("/classify", files={"audio": SONG}), client.get("/livez")))
        return answers

    def attack(content):
        return httpx.post(f"{own.url}/classify", files={"audio": content}, timeout=120)

    with httpx.Client(base_url=own.url, timeout=120) as client:
        alone = client.post("/classify", files={"audio": SONG}).json()
    fronts = {process.pid for process in own.workers(FRONT)}
    with ThreadPoolExecutor(5) as pool:
        beside = pool.submit(ordinary)
        try:
            refused = list(pool.map(attack, files * 2))
        finally:
            over.set()
    for response in refused:
        assert response.status_code in {200, 400, 413, 422}, response.text
        assert "Traceback" not in response.text
    assert {response.status_code for response in refused} >= {400}
    for response, alive in beside.result():
        assert alive.status_code == 200
        assert response.status_code == 200
        assert response.json()["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-4)
    assert {process.pid for process in own.workers(FRONT)} == fronts  # none was lost


def test_decoders_are_few_and_limited(own):
    processes = decoders(own)
    assert 1 <= len(processes) <= max(2, len(psutil.Process().cpu_affinity()))
    assert all(process.rlimit(psutil.RLIMIT_AS)[0] == MEMORY_MB * 2**20 for process in processes)


def test_a_client_that_leaves_takes_its_decoder_along_and_others_go_on(own):
    endless = io.BytesIO(encode(np.tile(tone(3), 400)))
    with pytest.raises(httpx.TimeoutException):
        httpx.post(f"{own.url}/classify", files={"audio": endless}, timeout=httpx.Timeout(30, read=0.2))
    for _ in range(4):  # both fronts
        assert httpx.post(f"{own.url}/classify", files={"audio": SONG}, timeout=60).status_code == 200


def test_a_killed_decoder_costs_one_answer_at_most(own):
    for process in decoders(own):
        process.kill()
    statuses = [httpx.post(f"{own.url}/classify", files={"audio": SONG}, timeout=60).status_code for _ in range(8)]
    assert set(statuses) <= {200, 413}
    assert statuses[-4:] == [200] * 4


def wait_until_mapped(server):
    """Wait until the model's process has the memory of each decoder, and no other."""
    for _ in range(300):
        (model,) = server.workers(MODEL)
        maps = Path(f"/proc/{model.pid}/maps").read_text()
        if maps.count("memfd:genre-chunks") == len(decoders(server)) > 0:
            return
        httpx.post(f"{server.url}/classify", files={"audio": SONG}, timeout=60)
        time.sleep(0.1)
    raise AssertionError(f"{len(decoders(server))} decoders, and the model has mapped:\n{maps}")


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc here")
def test_the_model_has_the_memory_of_living_decoders_alone(own):
    wait_until_mapped(own)
    for process in decoders(own):
        process.kill()
    for _ in range(2):
        httpx.post(f"{own.url}/classify", files={"audio": SONG}, timeout=60)
    wait_until_mapped(own)
    for service in (FRONT, MODEL):
        before = own.workers(service)
        before[0].kill()
        while before[0] in own.workers(service) or len(own.workers(service)) < len(before):
            time.sleep(0.05)
        own.wait()
        wait_until_mapped(own)
        assert httpx.post(f"{own.url}/classify", files={"audio": SONG}, timeout=60).status_code == 200


def test_decoders_end_with_the_service(tmp_path, served_model):
    server = Server(tmp_path, GENRE_MODEL=str(served_model), GENRE_WORKERS="1")
    try:
        server.wait()
        processes = decoders(server)
        assert processes
    finally:
        server.stop()
    assert server.process.returncode == 0
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive
    assert not re.search("Traceback", server.log.read_text())


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_for_an_hour_of_broken_files_the_fronts_memory_levels_off(tmp_path, served_model):
    """GENRE_SOAK_SECONDS is another length."""
    seconds = float(os.environ.get("GENRE_SOAK_SECONDS", "3600"))
    originals = songs(8, longest=8.0)
    held = []
    with Server(tmp_path, GENRE_MODEL=str(served_model), GENRE_WORKERS="2") as server, httpx.Client() as client:
        fronts = server.workers(FRONT)
        begin = time.monotonic()
        for seed in itertools.count():
            for song in (*mutants(originals, 20, seed=seed), *originals):
                response = client.post(f"{server.url}/classify", files={"audio": song.content}, timeout=60)
                assert response.status_code in {200, 400, 413, 422}
            held.append(sum(front.memory_full_info().uss for front in fronts) / 2**20)
            if time.monotonic() > begin + seconds:
                break
        assert [front.pid for front in fronts] == [front.pid for front in server.workers(FRONT)]
    quarter = len(held) // 4
    print(f"MiB of both fronts: {held[0]:.0f}, {held[quarter]:.0f}, {held[2 * quarter]:.0f}, {held[-1]:.0f}")
    assert max(held[-quarter:]) < max(held[quarter : 2 * quarter]) + 20
