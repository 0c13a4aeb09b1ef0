"""Bodies of requests: where each ends. Chunks are llhttp's, which is held to an exact end."""

import re
from typing import Protocol

import httptools

MAX_BETWEEN = 64 * 1024  # bytes of sizes, extensions and trailers between two pieces of data
MAX_ZEROS = 16  # before the digits of a size: other readers may count them as digits

_FIRST = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
# Where the last byte of a body may be, and where a size may have more zeros than others read.
_STOPS = re.compile(rb"\r\n\r\n|0{%d,}|\A0+|0+\Z" % (MAX_ZEROS + 1))
_ZEROS = re.compile(rb"0+")
_ZERO = ord("0")


class Broken(Exception):
    """The body cannot be read on."""

    def __init__(self, status: int = 400) -> None:
        super().__init__(status)
        self.status = status


class Body(Protocol):
    """A body that comes in pieces."""

    @property
    def left(self) -> int | None:
        """How many bytes are still to come, where that is known; 0 when it is complete."""

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The content in what came, and what follows the body.

        Raises: Broken.
        """


class Counted:
    """A body of a length that was told before."""

    def __init__(self, length: int) -> None:
        self.left = length

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take what belongs to it."""
        content = data[: self.left]
        self.left -= len(content)
        return content, data[len(content) :]


class Chunked:
    """A body in chunks.

    llhttp does not say where it stopped, and would read a request that follows. So it is given no
    more at a time than up to where the body may end: behind an empty line, be it in the data.
    """

    def __init__(self) -> None:
        self.left: int | None = None
        self._fault = 0  # the status that a trailer asks for
        self._parts: list[bytes] = []
        self._between = self._zeros = 0  # bytes, and zeros in a row, since the last data
        self._is_begun = False
        self.on_body = self._parts.append  # llhttp looks for it once
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_chunked_length=True,  # a length among the trailers, which nobody reads
            lenient_transfer_encoding=True,  # which `on_header` refuses
        )
        self._parser.feed_data(_FIRST)
        self._is_begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Refuse a trailer that says how the body is coded."""
        del value
        if self._is_begun and name.lower() == b"transfer-encoding":
            self._fault = 501

    def on_message_complete(self) -> None:
        """Note that nothing of it is left."""
        self.left = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take what belongs to it, decoded.

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
    """The places in what came behind each of which it is looked whether the body has ended."""
    places = {len(data)}
    for match in _STOPS.finditer(data):
        places.update(match.span() if match.group()[0] == _ZERO else (match.end(),))
    places.update(place for place in (1, 2, 3) if data[place - 1 : place] == b"\n")
    places.discard(0)
    return sorted(places)
