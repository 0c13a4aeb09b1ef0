"""Fixtures: a Hub, a user's environment, and a snapshot."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import hub as hubs
from tests.support.downloading import MODEL
from tests.support.hub import Hub
from tests.support.snapshot import write_folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A Hub with `org/small`, which has ONNX and more, and `org/torch`, which has only weights."""
    small = write_folder(tmp_path / "hub" / "small")
    torch = tmp_path / "hub" / "torch"
    shutil.copytree(small, torch, ignore=shutil.ignore_patterns("onnx"))
    for folder in (small, torch):
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "pytorch_model.bin").write_bytes(b"weights")
        (folder / "README.md").write_text("# A model")
    (small / "onnx/model_quantized.onnx").write_bytes(b"quantized")
    with hubs.serve({MODEL: small, "org/torch": torch}) as server:
        yield server


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """The variables of a user's shell, with a home of its own."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HOME": str(tmp_path / "home"),
        "NO_PROXY": "127.0.0.1",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "small")
