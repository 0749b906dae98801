"""The dashboard's and the scaler's queries, tried by a real Prometheus on a real service under load."""

import json
import math
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import yaml

from tests.support import ROOT
from tests.support.audio import encode, tone
from tests.support.server import free_port

DEPLOY = ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "genre-classifier.json").read_text())
SCALER = yaml.safe_load((DEPLOY / "kubernetes" / "gpu" / "scaler.yaml").read_text())
TARGETS = [(panel["title"], target) for panel in DASHBOARD["panels"] for target in panel["targets"]]
QUERIES = {(title, target["refId"]): target["expr"] for title, target in TARGETS} | {
    ("scaler", str(number)): trigger["metadata"]["query"] for number, trigger in enumerate(SCALER["spec"]["triggers"])
}
INTERVAL = "10s"  # what Grafana puts in the place of $__rate_interval
LOAD_SECONDS = 8
SONG = encode(tone(7))


@pytest.fixture(scope="module")
def under_load(server, tmp_path_factory):
    """A client of a Prometheus that has watched the service while it had work."""
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is missing: apt-get install prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    config["global"]["scrape_interval"] = "1s"
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [server.url.removeprefix("http://")]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        prometheus = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            _wait(client, prometheus)
            with ThreadPoolExecutor(4) as clients:
                list(clients.map(lambda song: _send(server.url, song), (SONG, SONG, b"no music", SONG)))
            yield client
    finally:
        prometheus.terminate()
        prometheus.wait(30)


def _wait(client, prometheus):
    end = time.monotonic() + 30
    while time.monotonic() < end and prometheus.poll() is None:
        try:
            if client.get("/-/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError("Prometheus does not start")


def _send(url, content):
    with httpx.Client(base_url=url, timeout=60) as client:
        end = time.monotonic() + LOAD_SECONDS
        while time.monotonic() < end:
            client.post("/classify", files={"audio": content})
            time.sleep(0.05)


def _ask(client, query):
    answer = client.get("/api/v1/query", params={"query": query.replace("$__rate_interval", INTERVAL)}).json()
    assert answer["status"] == "success", answer
    return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]


def test_no_panel_is_empty_under_load(under_load):
    answers = {place: _ask(under_load, query) for place, query in QUERIES.items()}
    assert [place for place, series in answers.items() if not series] == []
    assert all(math.isfinite(value) and value >= 0 for series in answers.values() for _, value in series)
    figures = {place: sum(value for _, value in series) for place, series in answers.items()}
    assert figures["Requests", "A"] > 1
    assert 0 < figures["Errors", "A"] < 1  # what is no music is refused with 400
    assert figures["Errors", "B"] == 0
    assert 0 < figures["Session busy", "A"] <= 1.05  # scrapes are a little off the second
    assert figures["Session busy", "A"] == pytest.approx(
        figures["scaler", "1"], abs=1
    )  # over a minute, not ten seconds
    assert figures["Rows a run", "A"] >= 1
    ((model, services),) = answers["Model and provider", "A"]
    assert model["provider"] == "CPUExecutionProvider"
    assert services == 1


def test_every_metric_of_ours_is_shown(client):
    """What the service measures stands in a panel, and what a panel asks for is measured."""
    measured = set(re.findall(r"^# TYPE (genre_\w+) ", client.get("/metrics").text, re.MULTILINE))
    asked = {
        name for query in QUERIES.values() for name in re.findall(r"genre_\w+?(?=_bucket|_sum|_count|\W|$)", query)
    }
    assert asked == measured


def test_panels_do_not_overlap():
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(0 <= x < 24 for x, _ in cells)


def test_prometheus_accepts_its_configuration():
    if not shutil.which("promtool"):
        pytest.skip("promtool is missing: apt-get install prometheus")
    subprocess.run(["promtool", "check", "config", DEPLOY / "prometheus.yml"], check=True, capture_output=True)
