"""Names, probes, folders and answers are as `deploy/kserve/` and `docs/kserve.md` promise."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from app.options.settings import Settings
from tests.support.snapshot import contents, write_folder
from tests.support.tensors import tensor
from tests.test_deploy import FORCED_END_SECONDS
from tools import tiny
from tools.process import ROOT, Server

DEPLOY = ROOT / "deploy/kserve"
RUNTIME: dict[str, Any] = yaml.safe_load((DEPLOY / "runtime.yaml").read_text())
SERVICE: dict[str, Any] = yaml.safe_load((DEPLOY / "inference-service.yaml").read_text())
[CONTAINER] = RUNTIME["spec"]["containers"]
MOUNTED = "/mnt/models"
GRACE_SECONDS = 30  # the default of a pod
PAGE = (ROOT / "docs/kserve.md").read_text()


def arguments(name: str, folder: Path) -> list[str]:
    """Return the runtime's arguments as KServe makes them, but for the place of the model."""
    made: list[str] = CONTAINER["args"]
    return [one.replace("{{.Name}}", name).replace(MOUNTED, str(folder)) for one in made]


def test_the_runtime_serves_the_folder_that_kserve_fills_under_the_name_of_the_service() -> None:
    named = [one.replace("{{.Name}}", SERVICE["metadata"]["name"]) for one in CONTAINER["args"]]
    # The image names a model of its own, which is overridden.
    settings = Settings.read(named, {"MODEL_ID": "sentence-transformers/all-MiniLM-L6-v2"})
    assert settings.model_id == MOUNTED
    assert settings.model_name == SERVICE["metadata"]["name"]
    to_stop = settings.drain_seconds + settings.shutdown_seconds + FORCED_END_SECONDS
    assert to_stop < GRACE_SECONDS


def test_the_service_requests_features_of_the_runtime() -> None:
    model = SERVICE["spec"]["predictor"]["model"]
    assert model["runtime"] == RUNTIME["metadata"]["name"]
    assert model["protocolVersion"] in RUNTIME["spec"]["protocolVersions"]
    formats = [(one["name"], one["version"]) for one in RUNTIME["spec"]["supportedModelFormats"]]
    assert (model["modelFormat"]["name"], model["modelFormat"]["version"]) in formats
    # A format that other runtimes serve as well is never selected automatically.
    assert {one["name"]: one["autoSelect"] for one in RUNTIME["spec"]["supportedModelFormats"]} == {
        "embeddings": True,
        "huggingface": False,
    }


def test_port_and_metrics_are_the_service_s() -> None:
    port = Settings.read(["--model-id", "any"], {}).listen_port
    assert [one["containerPort"] for one in CONTAINER["ports"]] == [port]
    annotations = RUNTIME["spec"]["annotations"]
    assert annotations["prometheus.kserve.io/port"] == str(port)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert CONTAINER[probe]["httpGet"]["port"] == port


def test_it_stops_taking_requests_before_it_stops() -> None:
    probe = CONTAINER["readinessProbe"]
    drain = Settings.read(arguments("any", Path("any")), {}).drain_seconds
    assert drain > probe["periodSeconds"] * probe["failureThreshold"]


def put_exported(folder: Path) -> None:
    tiny.build(folder)


def put_snapshot(folder: Path) -> None:
    """Write what is left of a download: KServe's has a folder of its own in it."""
    write_folder(folder)
    (folder / ".cache/huggingface/download").mkdir(parents=True)
    (folder / ".cache/huggingface/download/config.json.metadata").write_text("0\n")


@pytest.fixture(scope="module", params=[put_exported, put_snapshot], ids=["exported", "snapshot"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with the runtime's arguments, over each form of a folder, which stays unchanged."""
    folder = tmp_path_factory.mktemp("mnt") / "models"
    request.param(folder)
    before = contents(folder)
    with Server(*arguments("minilm", folder), "--dtype", "float32") as server:
        server.wait_ready()
        yield server
    assert contents(folder) == before


def test_the_probes_ask_the_right_paths(served: Server) -> None:
    paths = {
        name: CONTAINER[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "readiness", "liveness")
    }
    assert paths == {
        "startup": "/v2/health/ready",
        "readiness": "/v2/health/ready",
        "liveness": "/v2/health/live",
    }
    assert {served.get(path).status for path in paths.values()} == {200}


def test_the_model_answers_by_the_name_of_the_service(served: Server) -> None:
    assert served.get("/v2/models/minilm").json["name"] == "minilm"
    assert served.get("/v2/models/minilm/ready").status == 200
    body = {"inputs": [tensor("text", ["the cat"])]}
    [output] = served.post("/v2/models/minilm/infer", body).json["outputs"]
    expected = tiny.unit(tiny.reference(tiny.ids_of("the cat")))
    np.testing.assert_allclose(output["data"], expected, atol=1e-6)
    answer = served.post("/openai/v1/embeddings", {"model": "minilm", "input": "the cat"}).json
    assert answer["model"] == "minilm"
    np.testing.assert_allclose(answer["data"][0]["embedding"], expected, atol=1e-6)
    [model] = served.get("/openai/v1/models").json["data"]
    assert model["id"] == "minilm"


def commands() -> list[str]:
    """Return the commands of the page that ask the service."""
    shown = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    lines = shown.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("curl ")]


def test_every_command_of_the_page_is_answered(served: Server) -> None:
    asked = commands()
    assert len(asked) == 4
    for command in asked:
        line = command.replace("$URL", served.url)
        done = subprocess.run(
            ["bash", "-c", line.replace("curl", "curl --noproxy '*' --fail-with-body", 1)],  # noqa: S607 - as a user runs it
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        json.loads(done.stdout)


def test_the_page_shows_the_files_and_says_what_has_not_been_run() -> None:
    for path in ("deploy/kserve/runtime.yaml", "deploy/kserve/inference-service.yaml"):
        assert f"kubectl apply -f {path}" in PAGE
    assert "has not been run in a cluster" in PAGE
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert target.startswith("https://") or (ROOT / "docs" / target).exists()
