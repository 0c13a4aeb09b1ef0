"""Heads of requests: llhttp parses the header lines, and this module everything it is lax about.

The request line is parsed here: llhttp knows only some methods and targets, takes `GET /` without a
version for HTTP/0.9, and accepts RTSP as HTTP. It reads the header lines, but not strictly the
length and coding that they state: it accepts `gzip, chunked`, numbers of any number of digits, and
no Host.
"""

import re
from collections.abc import Sequence

import httptools

from app.records import record

PREFACE = b"PRI * HTTP/2.0\r\n\r\n"

_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])\r?\n")
_LENGTH = re.compile(rb"[0-9]{1,20}")
_FIRST = b"POST / HTTP/1.1\r\n"  # stands in for the request line

Headers = list[tuple[bytes, bytes]]


class Refused(Exception):
    """The bytes are no request that the application can answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@record()
class Head:
    """A request's head; names of headers are in lower case."""

    method: bytes
    target: bytes
    version: str  # "1.0" or "1.1"
    headers: Headers
    length: int | None  # of the body in bytes; None if it is chunked
    keeps: bool  # whether the client may send another request
    expects: bool  # whether it waits for 100 before it sends the body


class _Lines:
    """Collects the headers that llhttp finds."""

    def __init__(self) -> None:
        self.headers: Headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))


def read(content: bytes) -> Head:
    """Read a head, up to and including its final empty line.

    Raises: Refused.
    """
    line = _LINE.match(content)
    if line is None:
        raise Refused(400)
    method, target, minor = line.groups()
    if not (target.isascii() or _is_utf8(target)):
        raise Refused(400)
    headers = _headers(content[line.end() :])
    special: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _SPECIAL:
            special.setdefault(name, []).append(value)
    is_new = minor == b"1"
    hosts = len(special.get(b"host", ()))
    if hosts > 1 or (is_new and not hosts):
        raise Refused(400)
    options = _options(special.get(b"connection", ()))
    keeps_alive = b"keep-alive" in options and b"transfer-encoding" not in special
    return Head(
        method=method,
        target=target,
        version="1.1" if is_new else "1.0",
        headers=headers,
        length=_length(special),
        keeps=b"close" not in options and (is_new or keeps_alive),
        expects=is_new and b"100-continue" in map(bytes.lower, special.get(b"expect", ())),
    )


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


_SPECIAL = frozenset({b"host", b"connection", b"content-length", b"transfer-encoding", b"expect"})


def _options(values: Sequence[bytes]) -> set[bytes]:
    """Return the options of the Connection header, in lower case."""
    if not values:
        return set()
    return {one.strip().lower() for one in b",".join(values).split(b",")}


def _headers(lines: bytes) -> Headers:
    """Parse the header lines after the request line."""
    found = _Lines()
    parser = httptools.HttpRequestParser(found)
    parser.set_dangerous_leniencies(
        lenient_chunked_length=True,  # `_length` refuses a length with a coding
        lenient_transfer_encoding=True,  # an unknown coding gets 501, not 400
        lenient_optional_cr_before_lf=True,  # RFC 9112, section 2.2
    )
    try:
        parser.feed_data(_FIRST + lines)
    except httptools.HttpParserUpgrade:
        pass  # an offer, which is ignored
    except httptools.HttpParserError:
        raise Refused(400) from None
    return found.headers


def _length(special: dict[bytes, list[bytes]]) -> int | None:
    """Return the length of the body, or None if it is chunked; refuse ambiguous heads."""
    lengths = special.get(b"content-length", ())
    codings = special.get(b"transfer-encoding")
    if codings is not None:
        if lengths:
            raise Refused(400)
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise Refused(501)
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise Refused(400)
    return int(lengths[0])
