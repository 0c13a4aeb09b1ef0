"""Messages that end where two parsers may disagree: one answer, and the end of the connection."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.api.http.middleware import MAX_HEADER_BYTES, MAX_HEADERS
from tests.support.framing import LAST, READ, REFUSED, statuses
from tools.process import Server


@pytest.fixture(scope="module")
def server(tiny_model: Path) -> Iterator[Server]:
    """At its end it has answered no request that was hidden in another."""
    with Server("--model-id", str(tiny_model)) as running:
        running.wait_ready()
        yield running
        assert b'path="/livez"' in metrics(running)
        assert b'path="/info"' not in metrics(running)


def metrics(server: Server) -> bytes:
    return server.get("/metrics").content


@pytest.mark.parametrize(("message", "status"), REFUSED.values(), ids=REFUSED)
def test_what_may_end_elsewhere_is_refused_with_all_behind_it(
    server: Server, message: bytes, status: int
) -> None:
    assert statuses(server.port, message + LAST) == [status]


@pytest.mark.parametrize("message", READ.values(), ids=READ)
def test_what_can_be_read_in_one_way_is_one_request(server: Server, message: bytes) -> None:
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
