"""`make bench`: the reasons why it does not begin."""

import sys
from pathlib import Path

import pytest

from export.source.default_model import DEFAULT_MODEL_ID
from tools import tiny
from tools.bench.__main__ import main
from tools.process import Server, free_port


def fault(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what is printed instead of a report."""
    assert main(arguments) == 1
    return capsys.readouterr().err


def test_a_model_must_have_been_exported(capsys: pytest.CaptureFixture[str]) -> None:
    told = fault(capsys, "no/model")
    assert told == "error: no/model is not exported: make export MODEL_ID=no/model\n"


def test_peers_are_looked_for_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "has no infinity" in fault(capsys, DEFAULT_MODEL_ID, "--infinity", sys.executable)
    assert "is no llama-server" in fault(capsys, DEFAULT_MODEL_ID, "--llama", "/bin/false")
    url = f"http://127.0.0.1:{free_port()}"
    assert "no TEI answers" in fault(capsys, DEFAULT_MODEL_ID, "--tei", url)


def test_a_tei_of_another_model_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tiny.build(tmp_path / "another")
    with Server("--model-id", str(tmp_path / "another"), "--dtype", "float32") as server:
        server.wait_ready()
        told = fault(capsys, DEFAULT_MODEL_ID, "--tei", server.url)
    assert told.startswith("error: TEI serves ")
    assert told.endswith(f", not {DEFAULT_MODEL_ID}\n")
