"""Public: the calls that need no key, health and reflection, and the bounds on them.

A message may be as large as one of any other call, and the library holds received parts of it. So
few are read at a time, and the one that has been read for longest gives way: what honest clients
ask comes at once, however many others there are.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import grpc
from grpc import StatusCode
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from app.rpc.health import Reports
from app.rpc.messages import POOL, SERVICES, parsed
from app.rpc.statuses import CallRefused

READ_AT_A_TIME = 32
LASTING = 64  # calls at a time that stay open: watchers of health, and streams of reflection

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

Body = Callable[[Any], Awaitable[None]]


class PublicCalls:
    """Answers the calls that need no key."""

    def __init__(self, reports: Reports, seconds: float) -> None:
        """Take what is told of health, and how long a message may take to come."""
        self._reports = reports
        self._seconds = seconds
        self._reflection = _reflection()
        self._reading: deque[asyncio.Timeout] = deque()
        self._lasting = 0

    def handlers(self) -> Iterator[grpc.GenericRpcHandler]:
        """Yield the handler of each service, whose calls read and write bytes themselves."""
        services: dict[str, dict[str, Body]] = {
            HEALTH: {"Check": self._check, "Watch": self._watch},
            reflection.SERVICE_NAME: {"ServerReflectionInfo": self._reflect},
        }
        for service, calls in services.items():
            methods = {
                name: grpc.stream_stream_rpc_method_handler(partial(_guarded, body))
                for name, body in calls.items()
            }
            yield grpc.method_handlers_generic_handler(service, methods)

    async def _check(self, context: Any) -> None:
        await context.write(self._reports.status(await self._asked(context)))

    async def _watch(self, context: Any) -> None:
        with self._staying():
            await self._reports.watch(await self._asked(context), context.write)

    async def _reflect(self, context: Any) -> None:
        with self._staying():
            answers = self._reflection.ServerReflectionInfo(self._questions(context), context)
            async with contextlib.aclosing(answers):
                async for answer in answers:
                    await context.write(answer.SerializeToString())

    async def _asked(self, context: Any) -> str:
        """Return the name of the service whose health a call asks for."""
        content = await self._read(context)
        if content is grpc.aio.EOF:
            raise CallRefused(StatusCode.INTERNAL, "Missing request message.")
        name: str = parsed(health_pb2.HealthCheckRequest, content).service
        return name

    async def _questions(self, context: Any) -> AsyncIterator[Any]:
        while (content := await self._read(context)) is not grpc.aio.EOF:
            yield parsed(reflection_pb2.ServerReflectionRequest, content)

    async def _read(self, context: Any) -> Any:
        """Return the next message, or grpc.aio.EOF.

        Raises: CallRefused if it does not come in time, or is still to come when others are read.
        """
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                if len(self._reading) >= READ_AT_A_TIME:
                    self._reading.popleft().reschedule(asyncio.get_running_loop().time())
                self._reading.append(limit)
                return await context.read()
        except TimeoutError:
            raise CallRefused(StatusCode.DEADLINE_EXCEEDED, "the message came too slowly") from None
        finally:
            with contextlib.suppress(ValueError):  # it was displaced by a later call
                self._reading.remove(limit)

    @contextlib.contextmanager
    def _staying(self) -> Iterator[None]:
        if self._lasting >= LASTING:
            raise CallRefused(StatusCode.RESOURCE_EXHAUSTED, "too many such calls are open")
        self._lasting += 1
        try:
            yield
        finally:
            self._lasting -= 1


async def _guarded(body: Body, _: object, context: Any) -> None:
    try:
        await body(context)
    except CallRefused as error:
        await context.abort(error.code, str(error))


def _reflection() -> Any:
    """Return what tells clients that ask what is served."""
    for file in (health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        POOL.AddSerializedFile(file.serialized_pb)
    names = [service.full_name for service in SERVICES.values()]
    names += [HEALTH, reflection.SERVICE_NAME]
    return reflection.aio.ReflectionServicer(names, pool=POOL)
