"""The command line of a download."""

from pathlib import Path

import pytest

from export.source import fetch
from export.source.fetch import Download


def test_a_model_and_a_cache_are_enough() -> None:
    found = fetch.parse(["--fetch", "org/name", "--cache", "/data"])
    assert found == Download("org/name", Path("/data"))


def test_a_revision_and_another_graph_may_be_named() -> None:
    more = ["--revision", "v1", "--onnx-file", "onnx/model_int8.onnx"]
    found = fetch.parse(["--fetch", "org/name", "--cache", "/data", *more])
    assert found == Download("org/name", Path("/data"), "v1", "onnx/model_int8.onnx")


@pytest.mark.parametrize("arguments", [[], ["--fetch", "org/name"], ["--fe", "a", "--cache", "b"]])
def test_missing_arguments_are_usage_errors(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        fetch.parse(arguments)
    assert caught.value.code == 2
    assert "required" in capsys.readouterr().err
