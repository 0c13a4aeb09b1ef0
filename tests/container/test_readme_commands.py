"""The README's container commands, run by podman with free ports and a Hub of our own."""

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.container.podman import Container, lab, podman
from tests.support import hub as hubs
from tests.support.readme import commands
from tests.support.snapshot import write_cache, write_folder
from tests.support.tiny_checkpoints import write_bert
from tools import client, tiny
from tools.process import free_port

pytestmark = pytest.mark.container

MODEL_ID = "BAAI/bge-small-en-v1.5"


def command(*parts: str) -> list[str]:
    """Return the arguments of the one command of the README with these parts, without `docker`."""
    [line] = [
        line
        for line in commands()
        if line.startswith("docker ") and all(part in line.split() for part in parts)
    ]
    return shlex.split(line)[1:]


def built(arguments: list[str], *more: str) -> str:
    """Run the `build` of an argument list under its own image name; return that name."""
    place = arguments.index("-t") + 1
    name = f"localhost/{arguments[place]}-readme"
    arguments = [*arguments[1:place], name, *arguments[place + 1 :]]
    done = lab("build", *more, "-f", "Containerfile", *arguments, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return name


@contextmanager
def run(arguments: list[str], image: str, *more: str) -> Iterator[Container]:
    """Start a healthy container by the arguments of `run`, with another image and port."""
    port = free_port()
    place = arguments.index("-p") + 1
    published = f"127.0.0.1:{port}:{arguments[place].partition(':')[2]}"
    [named] = [one for one in arguments if one.startswith("embedding-service:")]
    arguments = [*arguments[1:place], published, *arguments[place + 1 :]]
    arguments = [image if one == named else one for one in arguments]
    name = podman("run", "--detach", *more, *arguments)
    try:
        container = Container(name, port)
        container.wait_healthy()
        yield container
    finally:
        podman("rm", "--force", "--time", "0", name)


def test_the_cpu_image(image: str) -> None:
    arguments = command("run", "8000:8000", "embedding-service:cpu")
    with run(arguments, image) as found:
        assert len(found.post("/embed", {"inputs": "Hello, world!"})[0]) == 384


def test_a_mounted_cache(image: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    home = tmp_path / "huggingface"
    home.mkdir()
    write_cache(home / "hub", write_folder(tmp_path / "small"), model=MODEL_ID)
    arguments = command("run", "--model-id")
    place = arguments.index("-v") + 1
    assert arguments[place] == "~/.cache/huggingface:/data"
    arguments[place] = f"{home}:/data"
    with run(arguments, image, "--network", "bridge") as found:
        assert client.get(found.port, "/info").json["model_id"] == MODEL_ID
        assert len(found.post("/embed", {"inputs": "the cat"})[0]) == tiny.DIMENSIONS


def test_another_model_inside(tmp_path: Path) -> None:
    with hubs.serve({MODEL_ID: write_bert(tmp_path / "checkpoint")}) as hub:
        image = built(
            command("build", f"MODEL_ID={MODEL_ID}"),
            "--network=host",
            f"--build-arg=HF_ENDPOINT={hub.url}",
        )
    arguments = command("run", "8000:8000", "embedding-service:cpu")
    with run(arguments, image) as found:
        assert client.get(found.port, "/info").json["model_id"] == MODEL_ID


@pytest.mark.gpu_image
def test_the_gpu_image(image: str) -> None:
    """It builds, and reports the missing GPU where `--gpus` gives it none."""
    del image  # podman needs it
    name = built(command("build", "--target", "gpu"))
    arguments = command("run", "--gpus")
    assert arguments[1:3] == ["--gpus", "all"]
    container = podman("run", "--detach", *arguments[3:-1], name)
    try:
        assert int(podman("wait", container)) == 1
        logs = subprocess.run(
            ["podman", "logs", container],
            check=True,
            text=True,
            capture_output=True,
        )
        assert "Error: " in logs.stderr
        assert "cuda" in logs.stderr
    finally:
        podman("rm", "--force", "--time", "0", container)
