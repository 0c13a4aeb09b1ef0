"""A light HTTP/1.1 client: one request at a time, on a connection that it keeps."""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes


class NoAnswer(Exception):
    """The connection ended before a whole answer came."""

    def __init__(self, received: int) -> None:
        super().__init__(f"the connection ended after {received} bytes of an answer")
        self.received = received


class Client:
    """Asks one port; opens a connection when it has none, and closes it when it is told to."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.sent_at = 0.0  # when the last request had left, by time.monotonic()

    async def ask(self, request: bytes) -> Answer:
        """Send a request and read its answer.

        Raises: OSError where nothing listens; NoAnswer.
        """
        reader, writer = self._streams = await self._connected()
        head = b""
        try:
            writer.write(request)
            await writer.drain()
            self.sent_at = time.monotonic()
            head = await reader.readuntil(b"\r\n\r\n")
            status, headers = _parsed(head)
            content = await _content(reader, headers)
        except asyncio.IncompleteReadError as error:
            self.close()
            raise NoAnswer(len(head) + len(error.partial)) from None
        except ConnectionError:
            self.close()
            raise NoAnswer(len(head)) from None
        if headers.get("connection") == "close":
            self.close()
        return Answer(status, headers, content)

    async def vanish(self, part: bytes, patience: float) -> None:
        """Send a part of a request, wait, and cut the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(part)
            async with asyncio.timeout(patience):
                await reader.read()
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and not self._streams[0].at_eof():
            return self._streams
        self.close()
        return await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)


async def _content(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    await reader.readexactly(2)
    return b"".join(parts)


def _parsed(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}
