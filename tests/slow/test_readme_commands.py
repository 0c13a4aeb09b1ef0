"""The README's commands, run as they stand in a checkout whose environment is set up.

Ports are free ones, and the Hub is one of our own, whose model is tiny. What is about containers is run
by `tests/container`.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import hub as hubs
from tests.support.readme import blocks, commands
from tests.support.tiny_checkpoints import write_bert
from tools import client, process
from tools.process import ROOT, free_port

pytestmark = pytest.mark.slow

MODEL_ID = "BAAI/bge-small-en-v1.5"
# Made by `make setup` before these tests ran, however old its files look beside a fresh copy.
SET_UP = [
    f"--assume-old=.venv/{name}" for name in ("export.stamp", f"python-3.{sys.version_info.minor}")
] + ["--assume-old=app/operators/operators.so"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tracked files, with this environment and the default model."""
    place = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - found as a developer finds it
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, place / name)
    for library in (ROOT / "app" / "operators").glob("operators.so"):
        shutil.copy2(library, place / "app" / "operators")
    (place / ".venv").symlink_to((ROOT / ".venv").resolve())
    for model in (ROOT / "models").glob("*--*"):
        (place / "models" / model.name).symlink_to(model)
    return place


def make_line(command: str, *variables: str) -> list[str]:
    """Return a line of the README that calls make, with this machine's values."""
    program, *arguments = shlex.split(command)
    assert program == "make"
    return ["make", *SET_UP, *arguments, *variables]


@contextmanager
def making(
    checkout: Path, command: str, environment: Mapping[str, str], log: Path
) -> Iterator[int]:
    """Run a `make` of the README that serves; the port it is ready on."""
    port = free_port()
    line = make_line(command, f"PORT={port}")
    with log.open("w") as output:
        running = process.start(
            line, cwd=checkout, env={**os.environ, **environment}, stdout=output,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            process.wait_open(port, running)
            yield port
        finally:
            os.killpg(running.pid, 15)
            running.wait(60)


def listed(start: str) -> list[str]:
    """Return the README's commands with this beginning."""
    found = [line for line in commands() if line.startswith(start)]
    assert found
    return found


def test_the_quickstart(checkout: Path, tmp_path: Path) -> None:
    """`make run`, every `curl`, and the Python of a client."""
    with making(checkout, listed("make run")[0], {}, tmp_path / "log") as port:
        for command in listed("curl "):
            line = shlex.split(command.replace("localhost:8000", f"127.0.0.1:{port}"))
            line[1:1] = ["--silent", "--show-error", "--fail", "--noproxy", "*"]
            done = subprocess.run(line, check=True, capture_output=True, text=True)
            if "/health" in command:
                continue
            answer = json.loads(done.stdout)
            vector = answer["data"][0]["embedding"] if "/v1/" in command else answer[0]
            assert len(vector) == 384
        [program] = blocks("python")
        program = program.replace("localhost:8000", f"127.0.0.1:{port}")
        printed = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
            check=True,
            capture_output=True,
            text=True,
        )
        assert printed.stdout == "384\n"


def test_another_model(checkout: Path, tmp_path: Path) -> None:
    """`make export`, `make serve`, and both at once by `make run`."""
    run, export, serve = (line for line in listed("make ") if MODEL_ID in line)
    with hubs.serve({MODEL_ID: write_bert(tmp_path / "checkpoint")}) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        exported = subprocess.run(
            make_line(export), cwd=checkout, env={**os.environ, **environment}, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        assert exported.returncode == 0, exported.stdout + exported.stderr
        [folder] = (checkout / "models").glob("BAAI--*")
        with making(checkout, serve, environment, tmp_path / "serve") as port:
            assert client.get(port, "/info").json["model_id"] == MODEL_ID
        shutil.rmtree(folder)
        with making(checkout, run, environment, tmp_path / "run") as port:
            reply = client.post(port, "/embed", {"inputs": "the rain"})
            assert reply.status == 200
            assert len(reply.json[0]) == 32
        assert folder.exists()
