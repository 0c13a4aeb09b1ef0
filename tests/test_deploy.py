"""Times, probes and users in `deploy/` match the service's behaviour."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from app.options.settings import Settings
from tools.process import ROOT

DEPLOY = ROOT / "deploy"
FORCED_END_SECONDS = 5  # app/server/run.py ends a shutdown that hangs
KUBERNETES: list[dict[str, Any]] = list(
    yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
)
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def seconds_to_stop(arguments: list[str]) -> float:
    settings = Settings.read([*arguments, "--model-id", "any"], {})
    return settings.drain_seconds + settings.shutdown_seconds + FORCED_END_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("resource", KUBERNETES, ids=[one["kind"] for one in KUBERNETES])
def test_each_resource_has_the_shape_that_kubernetes_wants(resource: dict[str, Any]) -> None:
    import kubernetes_validate

    kubernetes_validate.validate(resource, "1.37", strict=True)


def test_the_service_may_take_its_time_to_stop() -> None:
    [compose] = COMPOSE["services"].values()
    assert float(compose["stop_grace_period"].rstrip("s")) > seconds_to_stop(compose["command"])
    pod = KUBERNETES[0]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] > seconds_to_stop(container["args"])


def test_the_probes_ask_the_right_paths() -> None:
    [container] = KUBERNETES[0]["spec"]["template"]["spec"]["containers"]
    probes = {name: container[f"{name}Probe"] for name in ("startup", "readiness", "liveness")}
    assert {name: probe["httpGet"]["path"] for name, probe in probes.items()} == {
        "startup": "/readyz",
        "readiness": "/readyz",
        "liveness": "/livez",
    }
    [port] = container["ports"]
    assert port["containerPort"] == 8000
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {port["name"]}
    drain = Settings.read([*container["args"], "--model-id", "any"], {}).drain_seconds
    assert drain > probes["readiness"]["periodSeconds"] * probes["readiness"]["failureThreshold"]


def test_it_runs_as_the_image_does() -> None:
    [user] = {
        line.removeprefix("USER ")
        for line in Path(ROOT / "Containerfile").read_text().splitlines()
        if line.startswith("USER ")
    }
    security = KUBERNETES[0]["spec"]["template"]["spec"]["securityContext"]
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == user
