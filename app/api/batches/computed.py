"""Computed: the batches of a service, as long as it runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from app.api.batches.items import Items
from app.api.http.service import Service
from app.batches.runner import Runner
from app.batches.steps import Work

STOP_SECONDS = 3.0  # seconds for the group in progress once the service ends


@contextlib.asynccontextmanager
async def batches_computed(service: Service) -> AsyncIterator[None]:
    """Compute batches in the block, if the service has any, and close their folder at its end."""
    if service.desk is None:
        yield
        return
    items = Items(service)
    work = Work(items.compute, service.model.settings.payload_limit, items.knows)
    runner = Runner(service.desk, work, service.lifecycle, service.metrics)
    running = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        runner.end()
        await asyncio.wait({running}, timeout=STOP_SECONDS)
        running.cancel()
        await asyncio.wait({running})
        await asyncio.to_thread(service.desk.close)
