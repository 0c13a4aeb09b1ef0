"""Request smuggling: a message with an ambiguous end gets one answer, and the connection ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.api.http.middleware import MAX_HEADER_BYTES, MAX_HEADERS
from tests.support.framing import LAST, READ, REFUSED, statuses
from tools.process import Server


@pytest.fixture(scope="module")
def server(tiny_model: Path) -> Iterator[Server]:
    """A server that must have answered no hidden request when it ends."""
    with Server("--model-id", str(tiny_model)) as running:
        running.wait_ready()
        yield running
        assert b'path="/livez"' in metrics(running)
        assert b'path="/info"' not in metrics(running)


def metrics(server: Server) -> bytes:
    return server.get("/metrics").content


@pytest.mark.parametrize(("message", "status"), REFUSED.values(), ids=REFUSED)
def test_ambiguous_messages_are_refused_with_all_that_follows(
    server: Server, message: bytes, status: int
) -> None:
    assert statuses(server.port, message + LAST) == [status]


@pytest.mark.parametrize("message", READ.values(), ids=READ)
def test_unambiguous_messages_are_one_request(server: Server, message: bytes) -> None:
    assert statuses(server.port, message + LAST) == [200, 200]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (b"X: y\r\n" * (MAX_HEADERS - 1), [200, 200]),
        (b"X: y\r\n" * MAX_HEADERS, [431]),
        (b"X: " + b"y" * 15_000 + b"\r\n", [200, 200]),  # a head in pieces may have 16 kB
        (b"X: " + b"y" * MAX_HEADER_BYTES + b"\r\n", [431]),
        (b"X: " + b"y" * 1_000_000 + b"\r\n", [431]),
    ],
    ids=["most", "one more", "large", "too large", "a megabyte"],
)
def test_heads_are_bounded_in_lines_and_in_bytes(
    server: Server, headers: bytes, expected: list[int]
) -> None:
    content = b"GET /livez HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + LAST
    assert statuses(server.port, content) == expected
