"""Health: `grpc.health.v1`, by service, as the model's kind and its health have it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from app.api.http.service import Service
from app.errors import Unhealthy
from app.inference.health import TICK_SECONDS
from app.model.names import Task
from app.rpc.messages import PACKAGE, SERVICES

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

_ALWAYS = frozenset({"Info", "Tokenize"})
_BY_TASK: Mapping[Task, Sequence[str]] = {
    "classifier": ("Predict",),
    "reranker": ("Predict", "Rerank"),
}


class Reports:
    """Tells clients what serves; the service without a name stands for the model's health."""

    def __init__(self, service: Service, server: Any) -> None:
        self._models = service.models
        self._computed = _BY_TASK.get(service.model.engine.task, ("Embed",))
        self._known = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._known, server)

    async def refresh(self) -> None:
        """Report what holds now."""
        try:
            await self._models.check()
        except Unhealthy:
            status = _NOT_SERVING
        else:
            status = _SERVING
        await self._known.set("", status)
        for name in SERVICES:
            own = status if name in self._computed else _NOT_SERVING
            await self._known.set(f"{PACKAGE}.{name}", _SERVING if name in _ALWAYS else own)

    async def keep(self) -> None:
        """Follow the model's health for ever."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self.refresh()

    async def end(self) -> None:
        """Report from now on that nothing serves, since the service is to stop."""
        await self._known.enter_graceful_shutdown()
