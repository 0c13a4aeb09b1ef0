"""Answers as HTTP/1.x writes them: status lines, heads, and how a body ends."""

import http
import time
from collections.abc import Collection
from email.utils import formatdate
from functools import lru_cache

from app.records import record

Headers = Collection[tuple[bytes, bytes]]

# Phrases for which Python's differ between versions, and from TEI's.
_WORDS = {413: "Payload Too Large", 414: "URI Too Long", 422: "Unprocessable Entity"}
_NO_BODY = frozenset({204, 304})
_KNOWN = frozenset(http.HTTPStatus)


@record()
class Asked:
    """The properties of a request that shape its answer."""

    version: str
    is_head: bool  # the answer has no body


def now() -> bytes:
    """Return the time as HTTP writes it (RFC 9110, section 5.6.7)."""
    return _date(int(time.time()))


@lru_cache(maxsize=1)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()


@lru_cache(maxsize=64)
def status_line(version: str, status: int) -> bytes:
    """Return the first line of an answer, without its end, with the usual phrase for its status."""
    words = _WORDS.get(status)
    if words is None:
        words = http.HTTPStatus(status).phrase if status in _KNOWN else ""
    return f"HTTP/{version} {status} {words}".encode()


def head(asked: Asked, status: int, headers: Headers, *, keeps: bool) -> tuple[bytes, bool]:
    """Return the head of an answer, and whether its body is chunked.

    Raises: ValueError for a header that contains a line break.
    """
    names = dict(headers)
    lines = [status_line(asked.version, status), *map(b": ".join, headers), b"date: " + now()]
    is_open = b"content-length" not in names and status not in _NO_BODY
    in_chunks = is_open and asked.version == "1.1"
    if in_chunks:
        lines.append(b"transfer-encoding: chunked")
    if b"connection" not in names:
        if not keeps:
            lines.append(b"connection: close")
        elif asked.version == "1.0":
            lines.append(b"connection: keep-alive")
    lines += (b"", b"")
    content = b"\r\n".join(lines)
    if content.count(b"\n") != len(lines) - 1 or content.count(b"\r") != len(lines) - 1:
        raise ValueError(f"a header of an answer ends its line: {headers!r}")
    return content, in_chunks


def refusal(status: int, *more: tuple[bytes, bytes]) -> bytes:
    """Return an answer without a body to bytes that are no request; it closes the connection."""
    headers = [*more, (b"content-length", b"0")]
    return head(Asked("1.1", is_head=False), status, headers, keeps=False)[0]


def in_chunks(content: bytes, *, more: bool) -> bytes:
    """Return a part of a chunked body, with its end unless more follows."""
    chunk = b"%x\r\n%b\r\n" % (len(content), content) if content else b""
    return chunk if more else chunk + b"0\r\n\r\n"
