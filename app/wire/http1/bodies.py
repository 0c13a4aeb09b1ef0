"""Bodies of requests: where each ends. llhttp reads chunks, and is held to their exact end."""

import re
from typing import Protocol

import httptools

MAX_BETWEEN = 64 * 1024  # bytes of sizes, extensions and trailers between two pieces of data
MAX_ZEROS = 16  # leading zeros of a size: other readers may limit the number of digits

_FIRST = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
# Possible ends of a body, and runs of more zeros in a size than other readers may accept.
_STOPS = re.compile(rb"\r\n\r\n|0{%d,}|\A0+|0+\Z" % (MAX_ZEROS + 1))
_ZEROS = re.compile(rb"0+")
_ZERO = ord("0")


class Broken(Exception):
    """The body cannot be read any further."""

    def __init__(self, status: int = 400) -> None:
        super().__init__(status)
        self.status = status


class Body(Protocol):
    """A body that comes in pieces."""

    @property
    def left(self) -> int | None:
        """The bytes still to come, if that is known; 0 when it is complete."""

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the content in `data`, and the bytes after the body.

        Raises: Broken.
        """


class Counted:
    """A body of a declared length."""

    def __init__(self, length: int) -> None:
        self.left = length

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the bytes of the body, and those after it."""
        content = data[: self.left]
        self.left -= len(content)
        return content, data[len(content) :]


class Chunked:
    """A body in chunks.

    llhttp does not say where it stopped, and would go on to read the next request. So it is given
    bytes only up to each place where the body may end: after an empty line, which may also be in
    the data.
    """

    def __init__(self) -> None:
        self.left: int | None = None
        self._fault = 0  # the status to refuse a trailer with
        self._parts: list[bytes] = []
        self._between = self._zeros = 0  # bytes, and zeros in a row, since the last data
        self._is_begun = False
        self.on_body = self._parts.append  # llhttp looks this attribute up only once
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_chunked_length=True,  # allows a length among the trailers, which are ignored
            lenient_transfer_encoding=True,  # leaves refusing that to `on_header`
        )
        self._parser.feed_data(_FIRST)
        self._is_begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Refuse a trailer that changes the coding of the body."""
        del value
        if self._is_begun and name.lower() == b"transfer-encoding":
            self._fault = 501

    def on_message_complete(self) -> None:
        """Note that the body is complete."""
        self.left = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the decoded bytes of the body, and the bytes after it.

        Raises: Broken.
        """
        start = 0
        for stop in _stops(data):
            self._read(data[start:stop])
            start = stop
            if self.left == 0:
                break
        content = b"".join(self._parts)
        self._parts.clear()
        return content, data[start:]

    def _read(self, piece: bytes) -> None:
        before = len(self._parts)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserError:
            raise Broken(self._fault or 400) from None
        if self._fault:
            raise Broken(self._fault)
        if len(self._parts) > before:
            self._between = self._zeros = 0
            return
        self._between += len(piece)
        self._zeros = self._zeros + len(piece) if _ZEROS.fullmatch(piece) else 0
        if self._between > MAX_BETWEEN or self._zeros > MAX_ZEROS:
            raise Broken


def _stops(data: bytes) -> list[int]:
    """Return the places in `data` after which to check whether the body has ended."""
    places = {len(data)}
    for match in _STOPS.finditer(data):
        places.update(match.span() if match.group()[0] == _ZERO else (match.end(),))
    places.update(place for place in (1, 2, 3) if data[place - 1 : place] == b"\n")
    places.discard(0)
    return sorted(places)
