"""Fixtures: the image of the repository, built once."""

import os
from collections.abc import Iterator

import pytest

from tests.container.podman import Container, lab, running

IMAGE = "localhost/embedding-service:test"


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[Container]:
    """One container for the tests that leave it running."""
    with running(image) as found:
        yield found
