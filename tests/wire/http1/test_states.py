"""The state table of a connection, and connections that go through it."""

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Sequence
from typing import Any

import pytest
import uvloop
from starlette.types import Message, Receive, Scope, Send

from app.wire.connections import Connections, ServerConfig, Shared
from app.wire.http1.connection import Http1
from app.wire.http1.states import TABLE, WAITING, Event, State, after

GET = b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"
EARLY = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
HOLD = b"POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
CHUNKS = b"POST /hold HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def test_every_state_has_its_row() -> None:
    assert set(TABLE) == set(State)
    assert {event for row in TABLE.values() for event in row} == set(Event)


@pytest.mark.parametrize("state", [one for one in State if one is not State.HTTP2])
def test_a_lost_connection_is_closed_whatever_it_was_about(state: State) -> None:
    assert after(state, Event.LOST) is State.CLOSED


def test_nothing_comes_after_the_end() -> None:
    assert set(TABLE[State.CLOSED].values()) == {State.CLOSED}
    assert not TABLE[State.HTTP2]


def test_no_last_answer_leads_to_another_request() -> None:
    ends = {State.LINGER, State.CLOSED}
    assert {row[Event.LAST] for row in TABLE.values() if Event.LAST in row} == ends
    assert set(TABLE[State.LINGER].values()) == {State.CLOSED}


def test_a_request_begins_only_where_one_is_waited_for() -> None:
    for event in (Event.OPENED, Event.REQUESTED, Event.PREFACE):
        assert {state for state, row in TABLE.items() if event in row} == WAITING


def test_impossible_events_are_faults() -> None:
    with pytest.raises(ValueError, match="KEPT cannot happen to a connection in IDLE"):
        after(State.IDLE, Event.KEPT)


class Seen(Http1):
    """A connection whose states are recorded."""

    def __setattr__(self, name: str, value: Any) -> None:
        seen = self.__dict__.setdefault("states", [])
        if name == "state" and [value.name] != seen[-1:]:
            seen.append(value.name)
            self.__dict__.setdefault("changed", asyncio.Event()).set()
        super().__setattr__(name, value)


class Scenario:
    """A connection with its client, and an application that answers when it is told to."""

    def __init__(self, patience: float) -> None:
        config = ServerConfig()
        config.client_timeout_seconds = config.keep_alive_timeout = patience
        self.released = asyncio.Event()
        self.connections = Connections(1)
        self.handed_over = b""
        self.whole: list[bool] = []  # whether the body of each request had come when it began
        self.seen = Seen(Shared(self.app, config, self.connections), self.hand_over)

    def hand_over(self, transport: asyncio.Transport, begun: bytes) -> None:
        self.handed_over = begun
        transport.close()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.whole.append(scope["is_whole"])
        if scope["path"] == "/hold":
            await self.released.wait()
            with contextlib.suppress(Exception):
                while (await receive()).get("more_body"):
                    pass
        headers = [(b"content-length", b"2")]
        start: Message = {"type": "http.response.start", "status": 200, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": b"ok"})

    async def play(self, steps: Sequence[bytes | str]) -> list[str]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            far = socket.create_connection(listening.getsockname())
            near, _ = listening.accept()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self.seen, sock=near)
        self.reader, self.writer = await asyncio.open_connection(sock=far)
        for step in steps:
            if isinstance(step, bytes):
                self.writer.write(step)
            else:
                await getattr(self, step)()
        await self.until("CLOSED", "HTTP2")
        self.writer.close()
        return self.states

    @property
    def states(self) -> list[str]:
        found: list[str] = self.seen.__dict__["states"]
        return found

    async def until(self, *names: str) -> None:
        changed: asyncio.Event = self.seen.__dict__["changed"]
        while self.states[-1] not in names:
            changed.clear()
            await changed.wait()

    async def answered(self) -> None:
        await self.reader.readuntil(b"ok")

    async def release(self) -> None:
        self.released.set()

    async def begun(self) -> None:
        await self.until("BODY", "ANSWERING")

    async def headed(self) -> None:
        await self.until("HEAD")

    async def gone(self) -> None:
        await self.until("GONE")

    async def ended(self) -> None:
        assert not (await self.reader.read()).startswith(b"HTTP/1.1 200")

    async def eof(self) -> None:
        self.writer.write_eof()

    async def vanish(self) -> None:
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # resets
        self.writer.transport.abort()

    async def end(self) -> None:
        self.connections.ending = True
        self.seen.end()

    async def crowd(self) -> None:
        assert self.connections.enter(self)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (["eof"], "IDLE CLOSED"),
        (["vanish"], "IDLE CLOSED"),
        (["ended"], "IDLE CLOSED"),  # a timeout without any byte
        (["end"], "IDLE CLOSED"),
        (["crowd"], "IDLE CLOSED"),
        ([GET[:9], "headed", "eof"], "IDLE HEAD CLOSED"),
        ([GET[:9], "headed", "vanish"], "IDLE HEAD CLOSED"),
        ([GET[:9], "ended"], "IDLE HEAD CLOSED"),
        ([GET[:9], "headed", "end"], "IDLE HEAD CLOSED"),
        ([GET[:9], "headed", "crowd"], "IDLE HEAD CLOSED"),
        ([GET[:9], "headed", GET[9:], "release", "answered", "eof"],
         "IDLE HEAD ANSWERING IDLE CLOSED"),
        ([HOLD[:9], "headed", HOLD[9:], "begun", b"body", "release", "answered", "eof"],
         "IDLE HEAD BODY ANSWERING IDLE CLOSED"),
        ([b"no\r\n\r\n", "ended", "eof"], "IDLE LINGER CLOSED"),
        ([b"no", "headed", b"\r\n\r\n", "ended", "eof"], "IDLE HEAD LINGER CLOSED"),
        ([b"no\r\n\r\n", "ended", "vanish"], "IDLE LINGER CLOSED"),
        ([b"no\r\n\r\n", "ended", "crowd"], "IDLE LINGER CLOSED"),
        ([b"no\r\n\r\n", "ended"], "IDLE LINGER CLOSED"),  # the client stays silent
        ([PREFACE], "IDLE HTTP2"),
        ([PREFACE[:9], "headed", PREFACE[9:]], "IDLE HEAD HTTP2"),
        ([GET, "begun", "eof", "gone", "release", "answered"], "IDLE ANSWERING GONE CLOSED"),
        ([GET, "begun", "eof", "gone", "end", "release", "answered"], "IDLE ANSWERING GONE CLOSED"),
        ([GET, "begun", "vanish"], "IDLE ANSWERING CLOSED"),
        ([GET, "begun", "end", "release", "answered", "eof"], "IDLE ANSWERING LINGER CLOSED"),
        ([GET + GET, "begun", "release", "answered", "answered", "eof"],
         "IDLE ANSWERING IDLE ANSWERING IDLE CLOSED"),
        ([HOLD, "begun", "eof", "gone", "release", "answered"], "IDLE BODY GONE CLOSED"),
        ([HOLD, "begun", "vanish"], "IDLE BODY CLOSED"),
        ([CHUNKS + b"zz\r\n", "begun", "release", "answered", "eof"],
         "IDLE BODY ANSWERING LINGER CLOSED"),
        ([EARLY, "answered", b"body" + GET, "release", "answered", "eof"],
         "IDLE BODY REST IDLE ANSWERING IDLE CLOSED"),
        ([EARLY, "answered", "eof"], "IDLE BODY REST CLOSED"),
        ([EARLY, "answered", "vanish"], "IDLE BODY REST CLOSED"),
        ([EARLY, "answered", "crowd", "eof"], "IDLE BODY REST LINGER CLOSED"),
        ([EARLY, "answered"], "IDLE BODY REST LINGER CLOSED"),  # the rest does not arrive
        ([EARLY.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked"), "answered",
          b"zz\r\n", "ended", "eof"], "IDLE BODY REST LINGER CLOSED"),
        ([LARGE, "answered", "eof"], "IDLE BODY LINGER CLOSED"),
    ],
)  # fmt: skip
def test_a_connection_goes_through_its_table(
    monkeypatch: pytest.MonkeyPatch, steps: list[bytes | str], expected: str
) -> None:
    hurried = all(one not in {"eof", "vanish", "crowd", "end"} for one in steps)
    monkeypatch.setattr("app.wire.http1.line.LINGER_SECONDS", 0.05 if hurried else 60.0)

    async def play() -> list[str]:
        async with asyncio.timeout(30):
            return await Scenario(0.05 if hurried else 60.0).play(steps)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(play()) == expected.split()


@pytest.mark.parametrize(
    ("steps", "whole"),
    [
        ([HOLD + b"body"], True),
        ([HOLD + b"bo", "begun", b"dy"], False),
        ([HOLD, "begun", b"body"], False),
        ([CHUNKS + b"0\r\n\r\n"], False),  # which only reading it tells
        ([GET], True),
    ],
)
def test_an_application_is_told_if_a_body_has_come(steps: list[bytes | str], whole: bool) -> None:
    async def play() -> list[bool]:
        scenario = Scenario(60.0)
        async with asyncio.timeout(30):
            await scenario.play([*steps, "release", "answered", "eof"])
        return scenario.whole

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(play()) == [whole]


def test_the_scenarios_miss_no_row_of_the_table() -> None:
    [mark] = [
        one
        for one in test_a_connection_goes_through_its_table.pytestmark  # type: ignore[attr-defined]
        if one.name == "parametrize"
    ]
    seen = set()
    for _, expected in mark.args[1]:
        names = expected.split()
        seen |= set(itertools.pairwise(names))
    followed = {
        (state.name, after_.name)
        for state, row in TABLE.items()
        for after_ in row.values()
        if state is not after_
    }
    assert followed <= seen
