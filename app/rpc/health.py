"""Health: `grpc.health.v1`, by service, following the model's kind and health.

grpcio-health-checking's servicer is not used: there a client that stops reading keeps
everyone's health from changing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from grpc import StatusCode
from grpc_health.v1 import health_pb2

from app.api.http.service import Service
from app.errors import Unhealthy
from app.inference.health import TICK_SECONDS
from app.model.names import Task
from app.rpc.messages import PACKAGE, SERVICES
from app.rpc.statuses import CallRefused

_Status = health_pb2.HealthCheckResponse

_ALWAYS = frozenset({"Info", "Tokenize"})
_BY_TASK: Mapping[Task, Sequence[str]] = {
    "classifier": ("Predict",),
    "reranker": ("Predict", "Rerank"),
}


class Reports:
    """Health reports to clients; the service without a name stands for the model's health."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._computed = _BY_TASK.get(service.model.engine.task, ("Embed",))
        self._told: Mapping[str, int] = {}
        self._changed = asyncio.Event()  # another one after each change
        self._is_over = False

    def status(self, name: str) -> bytes:
        """Return the message that has the status of a service.

        Raises: CallRefused if there is none of that name.
        """
        if name not in self._told:
            raise CallRefused(StatusCode.NOT_FOUND, "no such service")
        return _message(self._told[name])

    async def watch(self, name: str, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write the status of a service, now and after each change.

        Raises: CallRefused when the service ends.
        """
        told = None
        while not self._is_over:
            changed = self._changed
            status = self._told.get(name, _Status.SERVICE_UNKNOWN)
            if status != told:
                await write(_message(status))
                told = status
            await changed.wait()
        raise CallRefused(StatusCode.UNAVAILABLE, "the service is shutting down")

    async def keep(self) -> None:
        """Follow the model's health until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self.refresh()

    async def refresh(self) -> None:
        """Tell what holds now; at the end, nothing serves."""
        try:
            await self._service.models.check()
        except Unhealthy:
            serves = {*_ALWAYS}
        else:
            serves = {"", *_ALWAYS, *self._computed}
        if self._service.lifecycle.draining:
            serves.clear()
        self._tell(serves)

    def end(self) -> None:
        """Tell that nothing serves any more."""
        self._tell(set())

    def close(self) -> None:
        """Let go of those who watch."""
        self._is_over = True
        self._changed.set()

    def _tell(self, serves: set[str]) -> None:
        names = {name: f"{PACKAGE}.{name}" for name in SERVICES} | {"": ""}
        told = {
            full: _Status.SERVING if name in serves else _Status.NOT_SERVING
            for name, full in names.items()
        }
        if told != self._told:
            self._told = told
            self._changed.set()
            self._changed = asyncio.Event()


def _message(status: int) -> bytes:
    content: bytes = _Status(status=status).SerializeToString()
    return content
