"""The manifests: rendered, held against Kubernetes' schemas, and against what the service accepts."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

import genre_classifier
from batch.__main__ import parse_args
from batch.fetch import FETCHERS
from genre_classifier.batching import CPU_BATCH
from genre_classifier.settings import read_settings
from serving.http.application import PROBES
from serving.model_client import READY_SECONDS
from serving.pipeline import MAX_UPLOADS_IN_MEMORY, MIN_UPLOADS_MB
from serving.settings import ServiceSettings
from tests.support import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
KUBERNETES = "1.33"
USER = 1034  # bentoml, in BentoML's images
PORT = 3000
OVERLAYS = ("cpu", "gpu")
BATCH = ("job", "rayjob")
# Kinds that Kubernetes itself does not have: fields without which their operators refuse an object.
# https://keda.sh/docs/latest/reference/scaledobject-spec/, https://keda.sh/docs/latest/scalers/prometheus/
# https://docs.ray.io/en/latest/cluster/kubernetes/getting-started/rayjob-quick-start.html
FOREIGN = {"ScaledObject": "keda.sh/v1alpha1", "RayJob": "ray.io/v1"}
MIB = {"Mi": 1, "Gi": 1024}


def render(overlay):
    """The objects of an overlay, by kind, as kubectl renders them."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is missing: apt-get install kubernetes-client")
    objects = list(yaml.safe_load_all(_kustomize(overlay)))
    by_kind = {each["kind"]: each for each in objects}
    assert len(by_kind) == len(objects)
    return by_kind


@cache
def _kustomize(overlay):
    command = ["kubectl", "kustomize", str(FOLDER / overlay)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def batch(name):
    return yaml.safe_load((FOLDER / "batch" / f"{name}.yaml").read_text())


def pods(each):
    """The pod templates of an object."""
    spec = each["spec"]
    if cluster := spec.get("rayClusterSpec"):
        return [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    return [spec["template"]]


def service_container(overlay):
    (container,) = render(overlay)["Deployment"]["spec"]["template"]["spec"]["containers"]
    return container


def settings(container, monkeypatch):
    """The service's settings with a container's variables, and the cores of its limit."""
    variables = {each["name"]: each["value"] for each in container["env"]}
    known = {f"GENRE_{name}".upper() for name in ServiceSettings.model_fields}
    assert set(variables) <= known
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("serving.settings.cores", lambda: int(container["resources"]["limits"]["cpu"]))
    return read_settings(ServiceSettings)


def mebibytes(quantity):
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()
    return int(number) * MIB[unit]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_core_kinds_fit_their_schemas(overlay):
    objects = render(overlay)
    assert {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"} < set(objects)
    for kind, each in objects.items():
        if kind not in FOREIGN:
            kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_the_jobs_fit_their_schemas():
    kubernetes_validate.validate(batch("job"), KUBERNETES, strict=True)
    for pod in pods(batch("rayjob")):
        kubernetes_validate.validate(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, **pod}, KUBERNETES
        )


def test_the_schemas_refuse_what_does_not_fit():
    deployment = render("cpu")["Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(deployment, KUBERNETES, strict=True)


def test_the_scaled_object_has_what_keda_requires():
    scaled = render("gpu")["ScaledObject"]
    assert scaled["apiVersion"] == FOREIGN["ScaledObject"]
    spec = scaled["spec"]
    assert spec["scaleTargetRef"]["name"] == render("gpu")["Deployment"]["metadata"]["name"]
    assert 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
    assert any("genre_wait_seconds" in trigger["metadata"]["query"] for trigger in spec["triggers"])
    for trigger in spec["triggers"]:
        assert trigger["type"] == "prometheus"
        assert {"serverAddress", "query", "threshold"} <= set(trigger["metadata"])
        assert float(trigger["metadata"]["threshold"]) > 0
        assert all(isinstance(value, str) for value in trigger["metadata"].values())


def test_the_ray_job_has_what_kuberay_requires():
    job = batch("rayjob")
    assert job["apiVersion"] == FOREIGN["RayJob"]
    cluster = job["spec"]["rayClusterSpec"]
    assert all(isinstance(value, str) for value in cluster["headGroupSpec"]["rayStartParams"].values())
    for group in cluster["workerGroupSpecs"]:
        assert group["groupName"]
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    (ray,) = re.findall(r'"ray\[data\]==([\d.]+)"', (ROOT / "docs" / "scale.md").read_text())
    assert cluster["rayVersion"] == ray


def test_the_scaler_of_cpus_has_something_to_count():
    """A share of CPU is a share of what a container requests; and no manifest sets the number that a scaler decides."""
    objects = render("cpu")
    target = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    deployment = objects["Deployment"]
    assert (target["apiVersion"], target["kind"], target["name"]) == (
        deployment["apiVersion"],
        deployment["kind"],
        deployment["metadata"]["name"],
    )
    assert "cpu" in service_container("cpu")["resources"]["requests"]
    assert all("replicas" not in render(overlay)["Deployment"]["spec"] for overlay in OVERLAYS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_select_the_same_pods_and_the_same_port(overlay):
    objects = render(overlay)
    template = objects["Deployment"]["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert objects["Service"]["spec"]["selector"] == labels
    for selector in (
        objects["Deployment"]["spec"]["selector"],
        objects["PodDisruptionBudget"]["spec"]["selector"],
        objects["NetworkPolicy"]["spec"]["podSelector"],
    ):
        assert selector["matchLabels"] == labels
    (port,) = service_container(overlay)["ports"]
    assert port == {"name": "http", "containerPort": PORT}
    assert objects["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(PORT)
    (ingress,) = objects["NetworkPolicy"]["spec"]["ingress"]
    assert [each["port"] for each in ingress["ports"]] == ["http"]
    assert objects["NetworkPolicy"]["spec"]["egress"] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_service_accepts_every_value(overlay, monkeypatch):
    accepted = settings(service_container(overlay), monkeypatch)
    assert accepted.provider == ("cuda" if overlay == "gpu" else "auto")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_uploads_fit_into_tmp_and_the_rest_beside_it(overlay, monkeypatch):
    container = service_container(overlay)
    accepted = settings(container, monkeypatch)
    (volume,) = render(overlay)["Deployment"]["spec"]["template"]["spec"]["volumes"]
    uploads = accepted.workers * max(MAX_UPLOADS_IN_MEMORY * accepted.max_upload_mb, MIN_UPLOADS_MB)
    assert volume["emptyDir"]["medium"] == "Memory"
    assert uploads < mebibytes(volume["emptyDir"]["sizeLimit"])
    assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/tmp"}]
    assert uploads + 1024 < mebibytes(container["resources"]["limits"]["memory"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_what_the_service_answers(overlay, monkeypatch):
    container = service_container(overlay)
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    assert set(paths.values()) == PROBES
    assert all(container[name]["timeoutSeconds"] > READY_SECONDS + 1 for name in paths)
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    grace = render(overlay)["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > settings(container, monkeypatch).timeout + pause


@pytest.mark.parametrize("name", [*OVERLAYS, *BATCH])
def test_containers_have_no_rights(name):
    each = batch(name) if name in BATCH else render(name)["Deployment"]
    for pod in pods(each):
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == context["runAsGroup"] == USER
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["spec"]["containers"]:
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert rights.get("readOnlyRootFilesystem") is (True if name != "rayjob" else None)  # Ray writes its home
            assert not rights.get("privileged")


@pytest.mark.parametrize("name", [*OVERLAYS, *BATCH])
def test_images_are_of_this_release(name):
    each = batch(name) if name in BATCH else render(name)["Deployment"]
    for pod in pods(each):
        for container in pod["spec"]["containers"]:
            image, tag = container["image"].split(":")
            assert image == "genre_classifier"
            assert tag.rpartition("-")[0] == genre_classifier.__version__


@pytest.mark.parametrize("name", BATCH)
def test_the_jobs_run_a_command_line_that_is_there(name):
    each = batch(name)
    (first, *_) = pods(each)
    (container,) = first["spec"]["containers"]
    command = each["spec"].get("entrypoint") or container["command"][-1]
    for variable in container["env"]:
        command = command.replace(f"${variable['name']}", variable["value"])
    command = command.replace("$JOB_COMPLETION_INDEX", "3").replace('"', "").replace("'", "")
    args = parse_args(command.partition("python -m batch ")[2].split())
    assert args.source.startswith("s3://")
    if name == "job":
        assert args.shard == (3, each["spec"]["completions"])
        assert container["workingDir"].endswith("/src")
    else:
        assert args.ray == "auto"
        limits = first["spec"]["containers"][0]["resources"]["limits"]
        assert args.cpus_per_actor == int(limits["cpu"])


def test_the_job_has_room_for_the_files_that_it_fetches():
    """Those that wait for their answer, as `Classifier.analyse_files` takes them, and those ahead of them."""
    pod = batch("job")["spec"]["template"]["spec"]
    (volume,), (container,) = pod["volumes"], pod["containers"]
    files = 3 * CPU_BATCH + int(container["resources"]["limits"]["cpu"]) + FETCHERS
    assert volume["emptyDir"].keys() == {"sizeLimit"}  # on disk: what lies in memory counts for the container's limit
    assert files * parse_args(["source", "output"]).file_megabytes < mebibytes(volume["emptyDir"]["sizeLimit"])
    assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/tmp"}]


def test_every_file_is_used():
    """A manifest that no kustomization names would be checked by nothing."""
    named = {Path("batch") / f"{name}.yaml" for name in BATCH}
    for folder in ("base", *OVERLAYS):
        kustomization = yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text())
        files = kustomization.get("resources", []) + kustomization.get("patchesStrategicMerge", [])
        named |= {Path(folder) / file for file in (*files, "kustomization.yaml")}
    assert {path.relative_to(FOLDER) for path in FOLDER.rglob("*.yaml")} == named
