"""Heads of requests: body and connection as they declare them, and refused heads."""

import pytest

from app.wire.http1 import heads
from app.wire.http1.heads import Refused

HOST = b"Host: x\r\n"


def head(*lines: bytes, first: bytes = b"POST /embed HTTP/1.1") -> bytes:
    return b"\r\n".join([first, *lines, b"", b""])


def test_a_head_is_read_whole() -> None:
    found = heads.read(head(b"Host: x", b"Content-Length: 12", b"X-A:  b  "))
    assert (found.method, found.target, found.version) == (b"POST", b"/embed", "1.1")
    assert found.headers == [(b"host", b"x"), (b"content-length", b"12"), (b"x-a", b"b")]
    assert (found.length, found.keeps, found.expects) == (12, True, False)


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ([], 0),
        ([b"Content-Length: 007"], 7),
        ([b"Transfer-Encoding: Chunked"], None),
    ],
)
def test_a_body_has_a_length_or_comes_in_chunks(lines: list[bytes], length: int | None) -> None:
    assert heads.read(head(b"Host: x", *lines)).length == length


@pytest.mark.parametrize(
    ("version", "lines", "keeps"),
    [
        (b"1.1", [], True),
        (b"1.1", [b"Connection: keep-alive, CLOSE"], False),
        (b"1.0", [], False),
        (b"1.0", [b"Connection: Keep-Alive"], True),
    ],
)
def test_which_heads_keep_the_connection(version: bytes, lines: list[bytes], keeps: bool) -> None:
    found = heads.read(head(b"Host: x", *lines, first=b"GET / HTTP/" + version))
    assert found.keeps == keeps


@pytest.mark.parametrize(("version", "expects"), [(b"1.1", True), (b"1.0", False)])
def test_only_http_1_1_waits_for_100(version: bytes, expects: bool) -> None:
    first = b"POST / HTTP/" + version
    assert heads.read(head(b"Host: x", b"Expect: 100-Continue", first=first)).expects == expects


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (head(), 400),  # without Host
        (head(b"Host: x", b"Host: x"), 400),
        (head(b"Host: x", first=b"GET /"), 400),
        (head(b"Host: x", first=b"GET / HTTP/2.0"), 400),
        (head(b"Host: x", first=b"GET / RTSP/1.0"), 400),
        (head(b"Host: x", first=b"GET /\xff HTTP/1.1"), 400),
        (head(b"Host: x", b"Content-Length: +1"), 400),
        (head(b"Host: x", b"Content-Length: " + b"1" * 21), 400),
        (head(b"Host: x", b"Content-Length: 1", b"Content-Length: 1"), 400),
        (head(b"Host: x", b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400),
        (head(b"Host: x", b"Transfer-Encoding: gzip, chunked"), 501),
        (head(b"Host: x", b"a b: c"), 400),
    ],
)
def test_a_head_that_may_be_read_in_two_ways_is_refused(content: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        heads.read(content)
    assert caught.value.status == status
