"""curl, with its protocol features: h2c, HTTP/1.0, 100-continue, chunks."""

import json
import subprocess

import pytest

from tests.clients.vectors import TEXTS, assert_same

BODY = json.dumps({"inputs": TEXTS})
# Past a megabyte, curl asks with 100-continue before it sends the body.
PADDING = " " * 1_100_000


def curl(url: str, *options: str, body: str = BODY) -> tuple[str, str]:
    """Return the answer's body, and curl's log of the exchange."""
    header = "Content-Type: application/json"
    common = ["-sSv", "--noproxy", "*", "-m", "60", "-H", header, "--data-binary", "@-"]
    done = subprocess.run(
        ["curl", *common, *options, f"{url}/embed"],  # noqa: S607 - found as a user finds it
        input=body,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--http2"],
        ["--http2-prior-knowledge"],
        ["--http1.0"],
        ["-H", "Transfer-Encoding: chunked"],
        ["--http2", "-H", "Transfer-Encoding: chunked"],
        ["--compressed"],
    ],
    ids=" ".join,
)
def test_a_batch(options: list[str], url: str, reference: list[list[float]]) -> None:
    answer, _ = curl(url, *options)
    assert_same(json.loads(answer), reference)


@pytest.mark.parametrize("options", [[], ["--http2"]], ids=["http1.1", "http2"])
def test_a_long_body_is_asked_for(
    options: list[str], url: str, reference: list[list[float]]
) -> None:
    answer, exchange = curl(url, *options, "--expect100-timeout", "30", body=BODY + PADDING)
    assert_same(json.loads(answer), reference)
    assert "> Expect: 100-continue" in exchange
    assert "< HTTP/1.1 100" in exchange


def test_a_body_that_is_too_long_is_refused(url: str) -> None:
    answer, exchange = curl(url, body=BODY + 2 * PADDING)
    assert "< HTTP/1.1 413" in exchange
    assert answer.startswith("Failed to buffer the request body: length limit exceeded")
