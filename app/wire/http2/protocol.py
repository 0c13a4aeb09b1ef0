"""HTTP/2: Hypercorn's protocol, hardened against hostile clients.

Clients use it if they begin with its preface, as with TEI's server, or choose it in TLS; an
`Upgrade` is ignored, as HTTP allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    PriorityUpdated,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.events import Event as H2Event
from hypercorn.events import Closed, Updated
from hypercorn.protocol.events import Body, EndBody, Event, StreamClosed
from hypercorn.protocol.h2 import H2Protocol

from app.wire.connections import ServerConfig
from app.wire.stall import while_it_flows

RESETS = 100  # requests that may be reset, beyond those that were answered
# Frames that request nothing: this many, and more for each answer and for the bytes of answers,
# since a client opens its window with each part that it takes.
CONTROL_FRAMES = 4_000
CONTROL_FRAMES_AN_ANSWER = 10
BYTES_A_CONTROL_FRAME = 1_024
_WORK = (RequestReceived, StreamEnded, StreamReset, TrailersReceived)


@dataclass(frozen=True)
class Unasked(Updated):
    """A connection has changed its protocol; no request has come."""

    idle: bool = True


class PoliteHTTP2(H2Protocol):
    """HTTP/2 in which one bad request costs one stream, and a stalled stream is reset.

    Hypercorn 0.18 waits without limit for a client that has begun HTTP/2 to send a request, and for
    one to open its flow-control window, even if it has gone. Data for a request that was answered
    early, a path that is not ASCII, or a thousand priorities or reset requests end the whole
    connection with an error; other frames that request nothing may come without limit. Requests
    after the beginning of a shutdown are refused as if they had begun, so that clients do not
    retry.
    """

    config: ServerConfig
    answered = 0
    taken_back = 0
    sent = 0  # bytes of answers
    control_frames = 0

    async def initiate(
        self, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None
    ) -> None:
        await super().initiate(headers, settings)
        await self.send(Unasked())

    async def say_goodbye(self) -> None:
        """Tell the client that no request on its way will be answered here."""
        if not self.closed:
            self.connection.close_connection()
            await self._flush()

    async def stream_send(self, event: Event) -> None:
        if isinstance(event, Body):
            self.sent += len(event.data)
        if isinstance(event, Body | EndBody):
            stream = event.stream_id
            with while_it_flows(
                self.config.client_timeout_seconds,
                lambda: self._unsent(stream),
                lambda: self.task_group.spawn(self._give_up, stream),
            ):
                await super().stream_send(event)
            return
        await super().stream_send(event)
        if isinstance(event, StreamClosed):
            self.answered += 1
            if self.idle and self.context.terminated.is_set():
                await self.send(Closed())

    async def _handle_events(self, events: Sequence[H2Event]) -> None:
        for event in events:
            if self.closed:
                return
            await self._handle_event(event)
        await self._flush()

    async def _handle_event(self, event: H2Event) -> None:
        if not (isinstance(event, _WORK) or _has_content(event)):
            await self._count_control()
            if self.closed:
                return
        if isinstance(event, PriorityUpdated):
            return  # deprecated, and answers are small
        if isinstance(event, StreamReset) and event.stream_id in self.streams:
            await self._count_reset()
        if isinstance(event, RequestReceived) and (error := self._objection(event)) is not None:
            self.connection.reset_stream(event.stream_id, error)
        elif isinstance(event, DataReceived) and event.stream_id not in self.streams:
            # The request was answered before all of its body came.
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        else:
            await super()._handle_events([event])

    def _objection(self, request: RequestReceived) -> ErrorCodes | None:
        if self.context.terminated.is_set():
            return ErrorCodes.REFUSED_STREAM  # the client may send it elsewhere
        pseudo = {name: value for name, value in request.headers if name.startswith(b":")}
        is_plain = pseudo[b":method"].isascii() and pseudo[b":path"].isascii()
        if not is_plain or pseudo[b":method"] == b"CONNECT":
            return ErrorCodes.PROTOCOL_ERROR
        return None

    async def _count_reset(self) -> None:
        self.taken_back += 1
        if self.taken_back > RESETS + self.answered:
            await self._send_away()

    async def _count_control(self) -> None:
        self.control_frames += 1
        earned = CONTROL_FRAMES_AN_ANSWER * self.answered + self.sent // BYTES_A_CONTROL_FRAME
        if self.control_frames > CONTROL_FRAMES + earned:
            await self._send_away()

    async def _send_away(self) -> None:
        self.connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
        await self._flush()
        await self.handle(Closed())
        await self.send(Closed())

    async def _close_stream(self, stream_id: int) -> None:
        """Remove a stream, and release a writer that waits for its window."""
        await super()._close_stream(stream_id)
        if (buffer := self.stream_buffers.get(stream_id)) is not None:
            await buffer.close()

    def _unsent(self, stream: int) -> int:
        buffer = self.stream_buffers.get(stream)
        return 0 if buffer is None else len(buffer.buffer)

    async def _give_up(self, stream: int) -> None:
        """Reset a request whose client does not take the answer; the other streams go on."""
        if self.closed or stream not in self.streams:
            return
        self.connection.reset_stream(stream, ErrorCodes.CANCEL)
        await self._flush()
        await self._close_stream(stream)
        await self._window_updated(stream)


def _has_content(event: H2Event) -> bool:
    return isinstance(event, DataReceived) and bool(event.data)
