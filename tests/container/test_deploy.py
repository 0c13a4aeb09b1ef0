"""The containers of `deploy/`, run by real programs: docker-compose and `podman kube play`."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.podman import Container, podman
from tools import process
from tools.process import ROOT, free_port

pytestmark = pytest.mark.container

COMPOSE = ROOT / "deploy" / "compose.yaml"
KUBERNETES = ROOT / "deploy" / "kubernetes.yaml"
QUESTION = {"inputs": "What is deep learning?"}


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[str]:
    """Podman behind Docker's API, on its own socket."""
    socket = folder / "podman.sock"
    command = ["podman", "system", "service", "--time", "0", f"unix://{socket}"]
    service = process.start(command, stderr=subprocess.DEVNULL)
    try:
        process.eventually(socket.exists, 30, "podman does not listen")
        yield f"unix://{socket}"
    finally:
        process.end(service)


def test_compose_runs_it_hardened_and_stops_it_politely(image: str, tmp_path: Path) -> None:
    program = shutil.which("docker-compose")
    assert program is not None, "install docker-compose"
    port = free_port()
    project = [program, "--project-name", f"deploy-{port}", "--file", str(COMPOSE)]

    with engine(tmp_path) as host:
        environment = {**os.environ, "DOCKER_HOST": host, "IMAGE": image, "API_KEY": "k"}
        environment["PUBLISH"] = f"127.0.0.1:{port}"

        def compose(*arguments: str) -> str:
            done = subprocess.run(
                [*project, *arguments], env=environment, text=True, capture_output=True, check=False
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        try:
            compose("up", "--detach", "--no-build")
            name = compose("ps", "--quiet")
            found = Container(name, port, key="k")
            found.wait_healthy()
            assert len(found.post("/embed", QUESTION)[0]) == 384
            check_hardened(found)
            podman("healthcheck", "run", name)
            limits = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}"
            assert podman("inspect", "--format", limits, name) == f"{1 << 30} {2 * 10**9} 256"
            compose("stop")
            assert found.exit_code() == 0
        finally:
            compose("down")


def test_kubernetes_pods_are_hardened_and_drain(image: str, tmp_path: Path) -> None:
    port = free_port()
    text = KUBERNETES.read_text()
    for old, new in (
        ("image: embedding-service:cpu", f"image: {image}"),
        ("replicas: 2", "replicas: 1"),  # of one host, which has each port once
        ("containerPort: 8000}", f"containerPort: 8000, hostPort: {port}, hostIP: 127.0.0.1}}"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    manifest = tmp_path / "kubernetes.yaml"
    manifest.write_text(text)
    podman("kube", "play", "--replace", str(manifest))
    try:
        found = Container("embedding-service-pod-0-embedding-service", port)
        found.wait_healthy()
        assert len(found.post("/embed", QUESTION)[0]) == 384
        check_hardened(found)
        memory = podman("inspect", "--format", "{{.HostConfig.Memory}}", found.name)
        assert int(memory) == 1 << 30
        podman("kill", "--signal", "TERM", found.name)
        assert len(found.post("/embed", QUESTION)[0]) == 384  # --drain-seconds
        assert found.exit_code() == 0
    finally:
        podman("kube", "down", str(manifest))


def check_hardened(container: Container) -> None:
    status = podman("exec", container.name, "cat", "/proc/1/status").splitlines()
    fields = dict(line.split(":", 1) for line in status)
    assert fields["Uid"].split() == ["10001"] * 4
    assert int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"].strip() == "1"
    program = "open('/app/here', 'w')"
    done = subprocess.run(
        ["podman", "exec", "--user", "0", container.name, "python", "-c", program],
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert "Read-only file system" in done.stderr
