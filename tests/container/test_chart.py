"""The Helm chart: what helm and Kubernetes' schemas accept, and a pod made from it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.container.podman import Container, lab, podman
from tests.container.test_deploy import QUESTION, check_hardened
from tools.process import ROOT, free_port

pytestmark = pytest.mark.container

CHART = ROOT / "deploy" / "chart"
KUBERNETES_VERSIONS = ("1.28", "1.37")
# Kinds of third-party operators: Kubernetes has no schemas of them.
FOREIGN = {"PrometheusRule", "ScaledObject", "ServiceMonitor"}
EVERYTHING = {
    "model": {
        "id": "/data/model",
        "existingClaim": "models",
        "env": [{"name": "DTYPE", "value": "float32"}],
    },
    "apiKey": {"existingSecret": "keys"},
    "extraArgs": ["--max-concurrent-requests", 64],
    "imagePullSecrets": [{"name": "registry"}],
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True},
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"team": "search"}}}],
        "egressToHub": True,
    },
    "nodeSelector": {"pool": "cpu"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "podAnnotations": {"note": "x"},
    "podLabels": {"team": "search"},
}
Helm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def helm() -> Helm:
    """A function that runs helm, which is installed first."""
    found = lab("lint-tools", check=False)
    assert found.returncode == 0, found.stderr
    folder = found.stdout.strip().removeprefix("export PATH=").partition(":")[0]

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [f"{folder}/helm", *map(str, arguments)]
        return subprocess.run(command, text=True, capture_output=True, check=False, cwd=ROOT)

    return run


def rendered(helm: Helm, values: dict[str, Any], tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The resources of a release, by kind."""
    path = tmp_path / "values.json"
    path.write_text(json.dumps(values))
    done = helm("template", "search", CHART, "--namespace", "embeddings", "--values", path)
    assert done.returncode == 0, done.stderr
    resources = [one for one in yaml.safe_load_all(done.stdout) if one]
    found = {one["kind"]: one for one in resources}
    assert len(found) == len(resources)
    return found


def require_valid(resources: dict[str, dict[str, Any]]) -> None:
    import kubernetes_validate

    for kind, resource in resources.items():
        if kind not in FOREIGN:
            for version in KUBERNETES_VERSIONS:
                kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_helm_finds_no_fault(helm: Helm, tmp_path: Path, values: dict[str, Any]) -> None:
    path = tmp_path / "values.json"
    path.write_text(json.dumps(values))
    done = helm("lint", "--strict", CHART, "--values", path)
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


def test_by_default_it_is_the_manifest(helm: Helm, tmp_path: Path) -> None:
    """Chart and manifest describe the same pods, so that a change reaches both."""
    resources = rendered(helm, {}, tmp_path)
    require_valid(resources)
    manifest = {
        one["kind"]: one
        for one in yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text())
    }
    assert resources.keys() == manifest.keys()
    ours, theirs = (one["Deployment"]["spec"]["template"]["spec"] for one in (resources, manifest))
    [ours_container], [theirs_container] = ours.pop("containers"), theirs.pop("containers")
    for spec in (ours, theirs):
        spec.pop("topologySpreadConstraints")  # its selector names the release
    assert ours == theirs
    theirs_container.pop("env")  # the manifest's key is optional
    arguments = ours_container.pop("args")
    assert theirs_container.pop("args") == [*arguments[:2], arguments[-1]]
    assert arguments[2:4] == ["--shutdown-seconds", "25"]
    assert ours_container == theirs_container


def test_annotations_of_the_values_and_labels_of_the_chart_win(helm: Helm, tmp_path: Path) -> None:
    values = {
        "podAnnotations": {"prometheus.io/scrape": "false"},
        "podLabels": {"app.kubernetes.io/name": "other", "team": "search"},
    }
    pod = rendered(helm, values, tmp_path)["Deployment"]["spec"]["template"]["metadata"]
    assert pod["annotations"] == {"prometheus.io/scrape": "false", "prometheus.io/port": "8000"}
    assert pod["labels"]["app.kubernetes.io/name"] == "embedding-service"
    assert pod["labels"]["team"] == "search"


@pytest.mark.parametrize("scaler", ["hpa", "keda"])
def test_everything_at_once(helm: Helm, tmp_path: Path, scaler: str) -> None:
    resources = rendered(helm, {**EVERYTHING, "autoscaling": {scaler: True}}, tmp_path)
    require_valid(resources)
    scaled = {"hpa": "HorizontalPodAutoscaler", "keda": "ScaledObject"}
    assert set(resources) == {
        "Deployment", "Service", "PodDisruptionBudget", "ServiceMonitor", "PrometheusRule",
        "NetworkPolicy", scaled[scaler],
    }  # fmt: skip
    deployment = resources["Deployment"]
    assert "replicas" not in deployment["spec"]
    assert (
        resources[scaled[scaler]]["spec"]["scaleTargetRef"]["name"]
        == deployment["metadata"]["name"]
    )
    pod = deployment["spec"]["template"]
    [container] = pod["spec"]["containers"]
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert variables == {
        "MODEL_ID": "/data/model", "MODELS_DIR": "/data", "HUGGINGFACE_HUB_CACHE": "/data",
        "API_KEY": None, "DTYPE": "float32",
    }  # fmt: skip
    assert container["args"][-2:] == ["--max-concurrent-requests", "64"]
    assert {"name": "models", "mountPath": "/data", "readOnly": True} in container["volumeMounts"]
    labels = pod["metadata"]["labels"]
    for kind in ("Service", "PodDisruptionBudget", "ServiceMonitor", "NetworkPolicy"):
        spec = resources[kind]["spec"]
        selector = spec.get("podSelector", spec.get("selector"))
        wanted = selector.get("matchLabels", selector)
        assert wanted.items() <= labels.items(), kind
    # The alert rules refer to this job.
    assert labels[resources["ServiceMonitor"]["spec"]["jobLabel"]] == "embedding-service"
    alerts = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())
    assert resources["PrometheusRule"]["spec"] == alerts


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"autoscaling": {"hpa": True, "keda": True}}, "both set: choose one"),
        ({"replica": 3}, "replica"),
        ({"service": {"port": 0}}, "/service/port"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"model": {"id": 5}}, "/model/id"),
        ({"model": {"env": [{"name": "DTYPE", "value": 1}]}}, "/model/env/0/value"),
        ({"model": {"env": [{"name": "PORT", "value": "80"}]}}, "/model/env/0/name"),
        ({"podAnnotations": {"a": 1}}, "/podAnnotations/a"),
        ({"autoscaling": {"hpa": True, "minReplicas": 20}}, "minReplicas is above"),
    ],
)
def test_values_that_are_refused(
    helm: Helm, tmp_path: Path, values: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "values.json"
    path.write_text(json.dumps(values))
    done = helm("template", "search", CHART, "--values", path)
    assert done.returncode != 0
    assert reason in done.stderr.replace(".", "/")


def test_a_pod_of_the_chart_is_hardened_and_drains(helm: Helm, image: str, tmp_path: Path) -> None:
    port = free_port()
    repository, _, tag = image.rpartition(":")
    values = {"image": {"repository": repository, "tag": tag}, "replicas": 1, "drainSeconds": 5}
    resources = rendered(helm, values, tmp_path)
    pod = resources["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    container["ports"][0] |= {"hostPort": port, "hostIP": "127.0.0.1"}
    manifest = tmp_path / "chart.yaml"
    manifest.write_text(yaml.safe_dump(resources["Deployment"]))
    podman("kube", "play", "--replace", str(manifest))
    try:
        name = resources["Deployment"]["metadata"]["name"]
        found = Container(f"{name}-pod-0-{container['name']}", port)
        found.wait_healthy()
        assert len(found.post("/embed", QUESTION)[0]) == 384
        check_hardened(found)
        podman("kill", "--signal", "TERM", found.name)
        assert len(found.post("/embed", QUESTION)[0]) == 384  # --drain-seconds
        assert found.exit_code() == 0
    finally:
        podman("kube", "down", str(manifest))
