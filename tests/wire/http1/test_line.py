"""Line: when a connection reads, when its timer fires, and when its place is free."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from app.wire.connections import Connections, ServerConfig, Shared
from app.wire.http1.connection import Http1
from app.wire.http1.line import Line


class Silent(asyncio.Transport):
    """A transport whose client takes everything at once, or nothing."""

    def __init__(self, unsent: int = 0) -> None:
        super().__init__()
        self.unsent = unsent
        self.written = b""
        self.closing = False
        self.reads = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self.unsent


@pytest.mark.parametrize(("unsent", "answer"), [(0, b""), (1, b"HTTP/1.1 429")])
def test_a_connection_that_ends_frees_its_place_once_all_is_sent(
    unsent: int, answer: bytes
) -> None:
    """It closes a turn later; a connection that arrives before that must not be refused."""

    async def app(_: Scope, __: Receive, ___: Send) -> None:
        """Do nothing."""

    async def play() -> bytes:
        config = ServerConfig()
        config.client_timeout_seconds = config.keep_alive_timeout = 60.0
        shared = Shared(app, config, Connections(1))
        ended, comes = Silent(unsent), Silent()
        first, second = (Http1(shared, lambda *_: None) for _ in range(2))
        first.connection_made(ended)
        first.eof_received()
        assert ended.closing
        second.connection_made(comes)
        return comes.written

    assert asyncio.run(play())[: len(b"HTTP/1.1 429")] == answer


def test_reading_is_paused_once_and_resumed_once() -> None:
    async def play() -> list[bool]:
        transport = Silent()
        line = Line(transport, ServerConfig(), lambda: None)
        seen = []
        for is_paused in (True, True, False, False):
            line.pause(is_paused)
            seen.append(transport.reads)
        transport.close()
        line.pause(True)  # nothing is asked of a closing transport
        return [*seen, transport.reads]

    assert asyncio.run(play()) == [False, False, True, True, True]


def test_a_silent_client_fires_the_timer() -> None:
    async def play() -> bool:
        rung = asyncio.Event()
        line = Line(Silent(), ServerConfig(), rung.set)
        line.expect(0.0)
        async with asyncio.timeout(10):
            await rung.wait()
        rung.clear()
        line.expect(0.0)
        line.expect_nothing()
        await asyncio.sleep(0)
        return rung.is_set()

    assert not asyncio.run(play())
