"""Podman, as an operator uses it: an image built, containers run and asked."""

import http.client
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools import client
from tools.process import ROOT, eventually, free_port

LAB = Path(__file__).with_name("container-lab.sh")
HARDENED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--user=10001",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)
START_SECONDS = 300
STOP_SECONDS = 60


def lab(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run container-lab.sh, in the repository's root."""
    command = ["bash", str(LAB), *arguments]
    return subprocess.run(command, check=check, text=True, capture_output=True, cwd=ROOT)


def podman(*arguments: str) -> str:
    """Return Podman's output; its errors fail the test with its message."""
    done = subprocess.run(["podman", *arguments], check=False, text=True, capture_output=True)
    assert done.returncode == 0, f"podman {arguments[0]}: {done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Container:
    """A running container and where its port is published."""

    name: str
    port: int
    key: str = ""

    def post(self, path: str, body: object) -> Any:
        """The JSON that a POST of JSON is answered with."""
        key = {"authorization": f"Bearer {self.key}"} if self.key else {}
        reply = client.post(self.port, path, body, key)
        assert reply.status == 200, reply.text
        return reply.json

    def wait_healthy(self) -> None:
        """Wait until /health answers 200."""

        def is_healthy() -> bool:
            with suppress(OSError, http.client.HTTPException):
                return client.ask(self.port, "GET", "/health", seconds=5).status == 200
            return False

        try:
            eventually(is_healthy, START_SECONDS, "it is not healthy")
        except AssertionError as error:
            pytest.fail(f"{error}: {podman('logs', self.name)}")

    def exit_code(self) -> int:
        """Wait for the end; return the exit status of the service.

        It is read from Podman's record of events: a pod is restarted at once, so it may never
        be seen at rest.
        """
        which = podman("inspect", "--format", "{{.Id}}", self.name)
        ends = ("events", "--stream=false", "--filter", f"container={which}", "--filter=event=died")

        def codes() -> list[str]:
            return podman(*ends, "--format={{.ContainerExitCode}}").splitlines()

        try:
            eventually(lambda: bool(codes()), STOP_SECONDS, "it is still running")
        except AssertionError as error:
            pytest.fail(f"{error}: {podman('logs', self.name)}")
        return int(codes()[0])


@contextmanager
def running(
    image: str, *flags: str, inside: int = 8000, options: tuple[str, ...] = HARDENED
) -> Iterator[Container]:
    """A healthy container that publishes its port `inside`; `flags` are the service's."""
    port = free_port()
    publish = f"127.0.0.1:{port}:{inside}"
    name = podman("run", "--detach", *options, "--publish", publish, image, *flags)
    try:
        container = Container(name, port)
        container.wait_healthy()
        yield container
    finally:
        podman("rm", "--force", "--time", "0", name)
