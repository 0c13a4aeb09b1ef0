"""Answering: the handlers of all calls: admission, answers, and metrics."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import grpc.aio
from grpc import StatusCode

from app.api.http.byte_budget import Share
from app.api.http.service import Service
from app.api.verbs.answer_headers import Headers
from app.api.verbs.counting import FailureCounted
from app.errors import ServiceError
from app.rpc.bounds import Bounds, CallLimits
from app.rpc.caller import Caller, Callers
from app.rpc.calls.call import Answer, Call, Message
from app.rpc.calls.memory import most_memory
from app.rpc.calls.rerank import RankedStream
from app.rpc.messages import SERVICES
from app.rpc.services import CALLS
from app.rpc.statuses import CallRefused, code_of, reason_of
from app.rpc.streams import Incoming, Room, Turn, in_order
from app.rpc.waiting import Line
from app.telemetry.metrics import labels

logger = logging.getLogger(__name__)

# Messages of one stream in work, which is a quarter of the default permits.
MESSAGES_IN_WORK = 128

Body = Callable[[Incoming, Any, Caller], Awaitable[None]]


class Answering:
    """Answers every call of TEI's services, to the first model of a service."""

    def __init__(self, service: Service, limits: CallLimits) -> None:
        self._service = service.of_first
        self._process = service
        self._limits = limits
        self._callers = Callers(service)
        self._open: set[Incoming] = set()
        self._bounds = Bounds(limits)
        self._ended = asyncio.Event()  # set when a call has ended
        self._is_closing = False
        self.cut_at: float | None = None  # when calls are cut off, on the loop's clock

    def handlers(self) -> Iterator[grpc.GenericRpcHandler]:
        """Yield the handler of each service.

        A call reads and writes its messages itself, and as bytes, so that it is known whose they
        are, how many bytes are held, and how long one takes to come or to go.
        """
        for service in SERVICES.values():
            methods = {method.name: self._handler(method) for method in service.methods}
            yield grpc.method_handlers_generic_handler(service.full_name, methods)

    def stop_reading(self) -> None:
        """Refuse new calls, and end each stream once the messages that it has read are answered."""
        self._is_closing = True
        for incoming in self._open:
            incoming.stop()

    async def ended(self) -> None:
        """Return once there are no calls."""
        while self._open:
            self._ended.clear()
            await self._ended.wait()

    def _handler(self, method: Any) -> grpc.RpcMethodHandler:
        call = CALLS[method.name.removesuffix("Stream")]
        path = f"/{method.containing_service.full_name}/{method.name}"
        body: Body = partial(self._one, call)
        if method.server_streaming:
            body = partial(self._each, method.name.removesuffix("Stream"), call)
        elif method.client_streaming:
            body = self._ranked
        return grpc.stream_stream_rpc_method_handler(partial(self._guarded, path, body))

    async def _guarded(self, path: str, body: Body, _: object, context: Any) -> None:
        """Answer a call, whatever goes wrong, and count what came of it.

        A client whose deadline passes cancels, and often a moment before it passes here.
        """
        incoming = Incoming(context)
        self._open.add(incoming)
        status, reason = StatusCode.CANCELLED, ""
        try:
            if self._is_closing:
                raise CallRefused(StatusCode.UNAVAILABLE, "the service is shutting down")
            with self._bounds.call():
                caller = self._callers.admitted(context.invocation_metadata())
                await body(incoming, context, caller)
            status = StatusCode.OK
        except (ServiceError, CallRefused) as error:
            status, reason = code_of(error), reason_of(error)
        except Exception:  # an internal error, answered without details
            logger.exception("%s failed", path)
            status, reason = StatusCode.INTERNAL, "internal error"
        finally:
            self._open.discard(incoming)
            self._ended.set()
            counted = labels(path=path, status=status.name)
            self._process.metrics.count("te_grpc_response_count", counted)
        if status is not StatusCode.OK:
            await context.abort(status, reason)

    async def _one(self, call: Call, incoming: Incoming, context: Any, caller: Caller) -> None:
        content = await incoming.only(self._limits.client_seconds, self._bounds.reading)
        with self._service.bodies.holding() as share, self._in_flight():
            with FailureCounted(self._service.metrics):
                share.take(len(content))
            answer = await call(Message(self._service, caller, content, share, waits=False))
            share.keep(len(answer.content))
            await self._send(answer, caller, context)

    async def _each(
        self, name: str, call: Call, incoming: Incoming, context: Any, caller: Caller
    ) -> None:
        await context.send_initial_metadata(_metadata(caller.headers))
        line = Line(self._limits.client_seconds)

        async def work(content: bytes, turn: Turn) -> None:
            with self._service.bodies.holding() as share, self._in_flight():
                with FailureCounted(self._service.metrics):
                    await self._hold(line, name, content, share, turn)
                answer = await call(Message(self._service, caller, content, share, waits=True))
                share.keep(len(answer.content))
                await turn()
                await self._write(answer, context)

        await self._read(incoming, work)

    async def _ranked(self, incoming: Incoming, context: Any, caller: Caller) -> None:
        incoming.seconds = self._limits.client_seconds  # it holds what it has, to its end
        with self._service.bodies.holding() as whole, self._in_flight():
            ranked = RankedStream(self._service, caller, whole)
            line = Line(self._limits.client_seconds)

            async def work(content: bytes, turn: Turn) -> None:
                with self._service.bodies.holding() as share:
                    await self._hold(line, "Rerank", content, share, turn)
                    message = Message(self._service, caller, content, share, waits=True)
                    await ranked.add(message, turn)

            answer = await ranked.answered(partial(self._read, incoming, work))
            whole.keep(len(answer.content))
            await self._send(answer, caller, context)

    async def _read(
        self, incoming: Incoming, work: Callable[[bytes, Turn], Awaitable[None]]
    ) -> None:
        room = Room(MESSAGES_IN_WORK, self._limits.message_bytes)
        with self._bounds.stream():
            await in_order(incoming, work, room)
        if incoming.is_stopped:
            raise CallRefused(StatusCode.UNAVAILABLE, "the service is shutting down")

    async def _send(self, answer: Answer, caller: Caller, context: Any) -> None:
        """Send the only answer of a call, and what it says of itself before it."""
        await context.send_initial_metadata(_metadata([*answer.headers, *caller.headers]))
        await self._write(answer, context)

    async def _write(self, answer: Answer, context: Any) -> None:
        """Send an answer.

        Raises: CallRefused if the client does not read on.
        """
        try:
            async with asyncio.timeout(self._limits.client_seconds):
                await context.write(answer.content)
        except TimeoutError:
            raise CallRefused(
                StatusCode.DEADLINE_EXCEEDED, "the answer was read too slowly"
            ) from None

    async def _hold(self, line: Line, name: str, content: bytes, share: Share, turn: Turn) -> None:
        """Hold the bytes of a stream's message, and what it comes to, once there is room."""
        most = most_memory(name, self._service.model, len(content))
        await line.hold(share, len(content), most, turn)

    @contextlib.contextmanager
    def _in_flight(self) -> Iterator[None]:
        """Count a request in flight; one that is cut off at the end stays in the count, as lost."""
        lifecycle = self._service.lifecycle
        lifecycle.accepted += 1
        lifecycle.in_flight += 1
        is_lost = False
        try:
            yield
        except asyncio.CancelledError:
            now = asyncio.get_running_loop().time()
            is_lost = self.cut_at is not None and now >= self.cut_at
            raise
        finally:
            if not is_lost:
                lifecycle.in_flight -= 1


def _metadata(headers: Headers) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode(), value.decode("latin-1")) for name, value in headers)
