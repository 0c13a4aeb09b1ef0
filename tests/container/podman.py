"""Podman, as an operator uses it: an image built, containers run and asked."""

import http.client
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools.process import ROOT, free_port

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
    """What Podman prints; its errors fail the test with what it said."""
    done = subprocess.run(["podman", *arguments], check=False, text=True, capture_output=True)
    assert done.returncode == 0, f"podman {arguments[0]}: {done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Container:
    """A running container and where its port is published."""

    name: str
    port: int
    key: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, body: object) -> Any:
        """The JSON that a POST of JSON is answered with."""
        headers = {"content-type": "application/json"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)

    def wait_healthy(self) -> None:
        """Return when /health answers 200."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(self.url + "/health", timeout=5).close()
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
            else:
                return
        pytest.fail(f"not healthy: {podman('logs', self.name)}")

    def exit_code(self) -> int:
        """Wait for the end; the exit status of the service.

        It is read from Podman's record of events: a pod is restarted at once, so that nobody can
        be sure to see it lie still.
        """
        which = podman("inspect", "--format", "{{.Id}}", self.name)
        ends = ("events", "--stream=false", "--filter", f"container={which}", "--filter=event=died")
        end = time.monotonic() + STOP_SECONDS
        while time.monotonic() < end:
            if codes := podman(*ends, "--format={{.ContainerExitCode}}").splitlines():
                return int(codes[0])
            time.sleep(0.05)
        pytest.fail(f"still running: {podman('logs', self.name)}")


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
