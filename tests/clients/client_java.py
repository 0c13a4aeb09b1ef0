"""The JDK's HttpClient, which offers h2c with the body of its first request."""

import json
import subprocess

import pytest

from tests.clients.vectors import TEXTS, TOO_MANY, TOO_MANY_ERROR, assert_same
from tools.process import ROOT


def java(url: str, framing: str, body: object) -> list[tuple[int, str]]:
    """Return the status and the body of six answers."""
    done = subprocess.run(
        ["java", "Post.java", url, framing],  # noqa: S607 - found as a user finds it
        cwd=ROOT / "tests" / "clients",
        input=json.dumps(body, ensure_ascii=False),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    answers = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert len(answers) == 6
    return [(int(status), content) for status, content in answers]


@pytest.mark.parametrize("framing", ["whole", "chunked"])
def test_a_batch(framing: str, url: str, reference: list[list[float]]) -> None:
    for status, content in java(f"{url}/embed", framing, {"inputs": TEXTS}):
        assert status == 200
        assert_same(json.loads(content), reference)


def test_openai(url: str, reference: list[list[float]]) -> None:
    for status, content in java(f"{url}/v1/embeddings", "whole", {"input": TEXTS}):
        assert status == 200
        assert_same([item["embedding"] for item in json.loads(content)["data"]], reference)


def test_an_error(url: str) -> None:
    error = {"error": TOO_MANY_ERROR, "error_type": "Validation"}
    for status, content in java(f"{url}/embed", "whole", {"inputs": TOO_MANY}):
        assert (status, json.loads(content)) == (422, error)
