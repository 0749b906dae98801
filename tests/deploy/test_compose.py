"""The compose file: pinned images, files that are there, and values that the service accepts."""

import re

import yaml

import genre_classifier
from genre_classifier.settings import read_settings
from serving.model_client import READY_SECONDS
from serving.settings import ServiceSettings
from tests.support import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_every_image_has_a_tag_that_does_not_move():
    for service in SERVICES.values():
        assert re.fullmatch(r"[a-z_/]+:v?\d+\.\d+\.\d+", service["image"])
    assert SERVICES["service"]["image"].partition(":")[2] == genre_classifier.__version__


def test_what_is_mounted_is_there():
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]


def test_ports_are_open_on_loopback_alone():
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_service_accepts_every_value_and_has_no_rights(monkeypatch):
    service = SERVICES["service"]
    for name, value in service["environment"].items():
        assert name.removeprefix("GENRE_").lower() in ServiceSettings.model_fields
        monkeypatch.setenv(name, value)
    accepted = read_settings(ServiceSettings)
    assert int(re.fullmatch(r"(\d+)s", service["stop_grace_period"])[1]) > accepted.timeout
    assert int(re.search(r"timeout=(\d+)", service["healthcheck"]["test"][-1])[1]) > READY_SECONDS
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def test_each_finds_the_other_by_its_name():
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["service:3000"]}]
    (datasource,) = yaml.safe_load((DEPLOY / "grafana" / "datasource.yaml").read_text())["datasources"]
    assert datasource["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((DEPLOY / "grafana" / "provider.yaml").read_text())["providers"]
    mounted = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/genre-classifier.json" in mounted
    assert SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in mounted


def test_the_manuals_name_this_release():
    for name in ("deploy", "scale"):
        tags = set(re.findall(r"genre_classifier:(\d[\d.]*\d)", (ROOT / "docs" / f"{name}.md").read_text()))
        assert tags == {genre_classifier.__version__}
