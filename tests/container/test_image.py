"""The CPU image, built from the Containerfile and run by Podman as a careful operator would."""

import http.client
import json
import os
import select
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.process import ROOT, free_port

pytestmark = pytest.mark.container

LAB = Path(__file__).with_name("container-lab.sh")
IMAGE = "localhost/embedding-service:test"
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
HARDENED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--user=10001",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)
START_SECONDS = 60
IN_FLIGHT = 200
# As many tokens as the model takes, so that the requests cannot all be answered before the signal.
LONG_TEXT = "the quick brown fox jumps over the lazy dog " * 30


def lab(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run container-lab.sh, in the repository's root."""
    command = ["bash", str(LAB), *arguments]
    return subprocess.run(command, check=check, text=True, capture_output=True, cwd=ROOT)


def podman(*arguments: str) -> str:
    """What Podman prints; its errors fail the test with what it said."""
    done = subprocess.run(["podman", *arguments], check=False, text=True, capture_output=True)
    assert done.returncode == 0, f"podman {arguments[0]}: {done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image() -> str:
    """The image with the default model, built once."""
    if os.geteuid() != 0:
        pytest.fail("the container tests set up Podman and must run as root")
    up = lab("up", check=False)
    if up.returncode != 0:
        pytest.fail(f"Podman cannot be set up: {up.stderr}")
    built = lab("build", "-f", "Containerfile", "-t", IMAGE, ".", check=False)
    if built.returncode != 0:
        pytest.fail(f"the image does not build: {(built.stdout + built.stderr)[-4000:]}")
    return IMAGE


@dataclass(frozen=True)
class Container:
    """A running container and where its port is published."""

    name: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, body: object) -> Any:
        """The JSON that a POST of JSON is answered with."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
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
        """Wait for the end; the exit status of the service."""
        podman("wait", self.name)
        return int(podman("inspect", "--format", "{{.State.ExitCode}}", self.name))


@contextmanager
def running(image: str, *flags: str, inside: int = 8000) -> Iterator[Container]:
    """A healthy hardened container that publishes its port `inside`; `flags` are the service's."""
    port = free_port()
    publish = f"127.0.0.1:{port}:{inside}"
    name = podman("run", "--detach", *HARDENED, "--publish", publish, image, *flags)
    try:
        container = Container(name, port)
        container.wait_healthy()
        yield container
    finally:
        podman("rm", "--force", "--time", "0", name)


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[Container]:
    """One container for the tests that leave it running."""
    with running(image) as found:
        yield found


def run_python(image: str, program: str) -> str:
    """What a Python program prints in a fresh, writable container of the image."""
    return podman("run", "--rm", "--entrypoint", "python", image, "-c", program)


def test_it_embeds_with_the_model_inside(container: Container) -> None:
    [vector] = container.post("/embed", {"inputs": "What is deep learning?"})
    assert len(vector) == 384
    assert sum(number * number for number in vector) == pytest.approx(1, abs=1e-5)


def test_the_health_check_of_the_image_succeeds(container: Container) -> None:
    podman("healthcheck", "run", container.name)


def test_it_runs_as_a_plain_user_without_capabilities(container: Container) -> None:
    status = podman("exec", container.name, "cat", "/proc/1/status").splitlines()
    fields = dict(line.split(":", 1) for line in status)
    assert fields["Uid"].split() == ["10001"] * 4
    assert int(fields["CapEff"], 16) == 0


def test_the_image_names_a_plain_user(image: str) -> None:
    assert podman("image", "inspect", "--format", "{{.Config.User}}", image) == "10001:0"


@pytest.mark.parametrize("module", ["torch", "transformers", "optimum", "pip"])
def test_what_only_the_export_needs_is_left_out(image: str, module: str) -> None:
    program = f"import importlib.util as u; print(u.find_spec({module!r}))"
    assert run_python(image, program) == "None"


def test_the_user_can_write_nothing_of_the_service(image: str) -> None:
    program = (
        "import os; print([os.path.join(folder, name)"
        " for top in ('/app', '/opt/venv') for folder, names, files in os.walk(top)"
        " for name in [*names, *files, '.'] if os.access(os.path.join(folder, name), os.W_OK)])"
    )
    assert run_python(image, program) == "[]"


def test_only_models_lie_in_the_models_folder(image: str) -> None:
    program = "import os; print(os.listdir('/app/models'))"
    assert run_python(image, program) == "['sentence-transformers--all-MiniLM-L6-v2']"


def test_flags_follow_the_image(image: str) -> None:
    flags = ("--model-id", DEFAULT_MODEL, "--port", "9000")
    with (
        running(image, *flags, inside=9000) as found,
        urllib.request.urlopen(found.url + "/info", timeout=5) as answer,
    ):
        assert json.load(answer)["model_id"] == DEFAULT_MODEL


def test_an_idle_service_stops_within_a_second(image: str) -> None:
    with running(image) as found:
        started = time.monotonic()
        podman("stop", "--time", "10", found.name)
        assert time.monotonic() - started < 1
        assert found.exit_code() == 0


def test_requests_in_flight_are_answered_after_the_signal(image: str) -> None:
    body = json.dumps({"inputs": LONG_TEXT})
    with running(image) as found:
        connections = [
            http.client.HTTPConnection("127.0.0.1", found.port, timeout=60)
            for _ in range(IN_FLIGHT)
        ]
        for connection in connections:
            connection.request("POST", "/embed", body, {"content-type": "application/json"})
        podman("kill", "--signal", "TERM", found.name)
        answered, _, _ = select.select([one.sock for one in connections], [], [], 0)
        assert len(answered) < IN_FLIGHT
        assert [one.getresponse().status for one in connections] == [200] * IN_FLIGHT
        for connection in connections:
            connection.close()
        assert found.exit_code() == 0
