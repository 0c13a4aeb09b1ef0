"""Models in a mounted volume, or downloaded by a container."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.source import default_model
from tests.container.podman import HARDENED, START_SECONDS, Container, lab, podman, running
from tests.support import hub as hubs
from tests.support.snapshot import write_cache, write_folder
from tests.support.tiny_checkpoints import write_bert
from tools import tiny
from tools.process import free_port

pytestmark = pytest.mark.container
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder to mount that other users may read, as is usual."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model's checkpoint as on the Hub, with the ONNX graph that Optimum makes."""
    checkpoint = default_model.installed()
    assert checkpoint is not None
    folder = tmp_path_factory.mktemp("snapshot") / "model"
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("*.bin", "*.safetensors"))
    command = [sys.executable, "-m", "optimum.commands.optimum_cli", "export", "onnx"]
    command += ["--model", str(checkpoint), "--task", "feature-extraction", str(folder / "onnx")]
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return folder


def embed(container: str, text: str) -> Any:
    """Return the vector of a text, asked for inside a container without a network."""
    program = f"""
import json, urllib.request
body = json.dumps({{"inputs": {text!r}}}).encode()
request = urllib.request.Request(
    "http://127.0.0.1:8000/embed", body, {{"content-type": "application/json"}}
)
print(urllib.request.urlopen(request).read().decode())
"""
    return json.loads(podman("exec", container, "python", "-c", program))[0]


def wait_healthy_inside(container: str) -> None:
    end = time.monotonic() + START_SECONDS
    while podman("inspect", "--format", "{{.State.Running}}", container) == "true":
        check = ["podman", "exec", container, "python", "-m", "app.healthcheck"]
        if subprocess.run(check, check=False, capture_output=True).returncode == 0:
            return
        if time.monotonic() > end:
            break
    pytest.fail(f"not healthy: {podman('logs', container)}")


@pytest.mark.parametrize("layout", ["hub", ""], ids=["HF_HOME mounted", "its hub mounted"])
def test_a_model_of_a_mounted_cache_is_served_without_a_network(
    image: str, container: Container, snapshot: Path, data: Path, layout: str
) -> None:
    write_cache(data / layout, snapshot, model="org/mini")
    mount = f"{data}:/data:ro"
    flags = ("--model-id", "org/mini", "--port", "8000")
    name = podman("run", "--detach", "--network", "none", "--volume", mount, image, *flags)
    try:
        wait_healthy_inside(name)
        vector = embed(name, "What is deep learning?")
        log = podman("logs", name)
    finally:
        podman("rm", "--force", "--time", "0", name)
    [inside] = container.post("/embed", {"inputs": "What is deep learning?"})
    assert np.dot(vector, inside) == pytest.approx(1, abs=1e-5)
    assert f"Preparing /data/{layout}".rstrip("/") in log
    assert "name a folder to keep it in with --cache-dir" in log


def test_the_model_inside_is_the_one_used_where_it_is_asked_for(
    image: str, snapshot: Path, data: Path
) -> None:
    write_cache(data / "hub", snapshot, model=DEFAULT_MODEL)
    flags = ("--model-id", DEFAULT_MODEL, "--port", "8000")
    options = (*HARDENED, "--volume", f"{data}:/data:ro")
    with running(image, *flags, options=options) as found:
        assert len(found.post("/embed", {"inputs": "a"})[0]) == 384
        assert "Preparing" not in podman("logs", found.name)


def test_a_hardened_container_prepares_in_a_tmpfs_or_a_volume(
    image: str, data: Path, tmp_path: Path
) -> None:
    write_cache(data, write_folder(tmp_path / "small"))
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept").chmod(0o777)
    options = (*HARDENED, "--volume", f"{data}:/data:ro")
    kept = ("--volume", f"{tmp_path / 'kept'}:/cache", "--env", "CACHE_DIR=/cache")
    temporary = ("--tmpfs", "/tmp:rw,noexec,nosuid,nodev,size=64m", "--shm-size", "64m")  # noqa: S108  # of the container
    for more in (temporary, kept, kept):
        with running(image, "--model-id", "tests/small", options=(*options, *more)) as found:
            assert len(found.post("/embed", {"inputs": "the cat"})[0]) == tiny.DIMENSIONS
            log = podman("logs", found.name)
    assert "was prepared before: /cache/" in log


def test_a_model_of_the_hub_is_downloaded_by_a_user_without_a_home(
    image: str, tmp_path: Path
) -> None:
    port = str(free_port())
    with hubs.serve({"org/small": write_folder(tmp_path / "small")}) as hub:
        options = ("--network", "host", "--env", f"HF_ENDPOINT={hub.url}", "--user", "10001")
        flags = ("--model-id", "org/small", "--hostname", "127.0.0.1", "--port", port)
        name = podman("run", "--detach", *options, image, *flags)
        try:
            found = Container(name, int(port))
            found.wait_healthy()
            assert len(found.post("/embed", {"inputs": "the cat"})[0]) == tiny.DIMENSIONS
            assert "/data cannot be written: downloading to /tmp/" in podman("logs", name)
        finally:
            podman("rm", "--force", "--time", "0", name)


def test_a_revision_is_that_of_the_model_inside_only(data: Path, tmp_path: Path) -> None:
    image = "localhost/embedding-service:test-revision"
    with hubs.serve({"org/small": write_bert(tmp_path / "checkpoint")}) as hub:
        given = {"MODEL_ID": "org/small", "REVISION": "v1", "HF_ENDPOINT": hub.url}
        arguments = [f"--build-arg={name}={value}" for name, value in given.items()]
        built = lab("build", "--network=host", *arguments, "-t", image, ".", check=False)
    assert built.returncode == 0, (built.stdout + built.stderr)[-4000:]
    for flags in ((), ("--revision", "v1")):
        with running(image, *flags) as found:
            assert len(found.post("/embed", {"inputs": "the rain"})[0]) == 32
    write_cache(data, write_folder(tmp_path / "other"))
    options = (*HARDENED, "--volume", f"{data}:/data:ro", "--tmpfs", "/tmp")  # noqa: S108  # of the container
    with running(image, "--model-id", "tests/small", options=options) as found:
        assert len(found.post("/embed", {"inputs": "the cat"})[0]) == tiny.DIMENSIONS


def test_a_model_that_cannot_be_had_is_one_line(image: str) -> None:
    name = podman("run", "--detach", "--network", "none", image, "--model-id", "org/none")
    try:
        assert int(podman("wait", name)) == 1
        done = subprocess.run(["podman", "logs", name], check=True, text=True, capture_output=True)
        [line] = [one for one in (done.stdout + done.stderr).splitlines() if "Error: " in one]
        assert "org/none is not in the local cache (/tmp/" in line
        assert "Traceback" not in done.stdout + done.stderr
    finally:
        podman("rm", "--force", "--time", "0", name)
