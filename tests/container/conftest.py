"""Fixtures: the image of the repository, built once."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from tests.container.podman import lab

IMAGE = "localhost/embedding-service:test"
LOCK = Path(tempfile.gettempdir()) / "embedding-service-test-image.lock"


@pytest.fixture(scope="session")
def image() -> str:
    """The image with the default model; of processes that test at once, one builds it."""
    if os.geteuid() != 0:
        pytest.fail("the container tests set up Podman and must run as root")
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        up = lab("up", check=False)
        if up.returncode != 0:
            pytest.fail(f"Podman cannot be set up: {up.stderr}")
        built = lab("build", "-f", "Containerfile", "-t", IMAGE, ".", check=False)
        if built.returncode != 0:
            pytest.fail(f"the image does not build: {(built.stdout + built.stderr)[-4000:]}")
    return IMAGE
