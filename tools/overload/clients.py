"""Open-loop clients: requests leave when they are due, whatever became of earlier ones."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle
from typing import cast


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one request; times are seconds since its load began."""

    due: float
    finished: float
    status: int  # 0 without a connection, or if it ended early
    retry_after: str | None

    @property
    def seconds(self) -> float:
        """The seconds a client waited, from the moment when its request was due."""
        return self.finished - self.due


class Clients:
    """Connections to one port, one for each request in flight, kept for later requests."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self._port = port
        self._requests = cycle(requests)
        self._idle: list[_Connection] = []

    async def offer(self, rate: float, seconds: float) -> list[Answer]:
        """Ask `rate` times a second, in an open loop: late answers delay no request."""
        dues = (number / rate for number in range(int(rate * seconds)))
        started = _now()
        asked = []
        for due in dues:
            await asyncio.sleep(max(0.0, started + due - _now()))
            asked.append(asyncio.create_task(self._timed(started, due)))
        return await asyncio.gather(*asked)

    async def saturate(self, clients: int, seconds: float) -> list[Answer]:
        """Run a closed loop: each client asks again as soon as it has its answer."""
        started = _now()

        async def one() -> list[Answer]:
            answers: list[Answer] = []
            while (due := _now() - started) < seconds:
                answers.append(await self._timed(started, due))
            return answers

        return list(chain.from_iterable(await asyncio.gather(*(one() for _ in range(clients)))))

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        """Return the head and the content of the answer to one request."""
        connection = self._idle.pop() if self._idle else await self._connect()
        try:
            return await connection.ask(request)
        finally:
            if not connection.is_lost:
                self._idle.append(connection)

    def close(self) -> None:
        """Close every connection."""
        for connection in self._idle:
            connection.close()

    async def _timed(self, started: float, due: float) -> Answer:
        try:
            head, _ = await self.ask(next(self._requests))
        except OSError:  # for example, where this machine has no file left for another connection
            return Answer(due, _now() - started, 0, None)
        return Answer(due, _now() - started, int(head[9:12]), _header(head, b"retry-after"))

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        make: Callable[[], _Connection] = _Connection
        return (await loop.create_connection(make, "127.0.0.1", self._port))[1]


class _Connection(asyncio.Protocol):
    """One request at a time; an answer has to say its length."""

    is_lost = False
    _answer: asyncio.Future[tuple[bytes, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its type
        self._received = bytearray()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"the connection ended: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, content = self._received.partition(b"\r\n\r\n")
        length = _header(bytes(head), b"content-length") if end else None
        if length is None or len(content) < int(length):
            return
        if self._answer is None or self._answer.done():
            return  # its request was given up
        self._answer.set_result((bytes(head), bytes(content)))
        self._received.clear()
        self._answer = None

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        answer: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        self._answer = answer
        self._transport.write(request)
        return await answer

    def close(self) -> None:
        self._transport.abort()


def post(path: str, content: bytes) -> bytes:
    """Return the bytes of a request with a JSON body."""
    return (
        b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d"
        b"\r\n\r\n%b" % (path.encode(), len(content), content)
    )


def get(path: str) -> bytes:
    """Return the bytes of a request without a body."""
    return b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode()


def _header(head: bytes, name: bytes) -> str | None:
    return next(_headers(head, name), None)


def _headers(head: bytes, name: bytes) -> Iterator[str]:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            yield value.strip().decode()


def _now() -> float:
    return asyncio.get_running_loop().time()
