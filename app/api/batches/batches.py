"""Batches: `/v1/batches`."""

from typing import Any

from app.api.batches.endpoint import Asked, listed, one_more
from app.api.batches.values import ENDPOINT, WINDOW, expiry, metadata, only, required
from app.batches.desk import Desk, NewBatch
from app.batches.objects import Batch, Fault

DEFAULT_LIMIT, MOST = 20, 100  # batches per page


async def made(asked: Asked) -> dict[str, Any]:
    """POST `/v1/batches`."""
    values = await asked.json()
    file_id = required(values, "input_file_id")
    only(values, "completion_window", WINDOW)
    new = NewBatch(
        owner=asked.owner,
        endpoint=only(values, "endpoint", ENDPOINT),
        input_file_id=file_id,
        metadata=metadata(values.get("metadata")),
        output_seconds=expiry(values.get("output_expires_after"), "output_expires_after"),
    )
    return _shown(await asked.desk.add_batch(new), asked.desk)


async def listing(asked: Asked) -> dict[str, Any]:
    """GET `/v1/batches`."""
    page = asked.page(DEFAULT_LIMIT, MOST)
    found = await asked.desk.batches(asked.owner, one_more(page))
    return listed([_shown(one, asked.desk) for one in found], page)


async def described(asked: Asked) -> dict[str, Any]:
    """GET `/v1/batches/{id}`."""
    return _shown(await asked.desk.batch(asked.id, asked.owner), asked.desk)


async def cancelled(asked: Asked) -> dict[str, Any]:
    """POST `/v1/batches/{id}/cancel`."""
    return _shown(await asked.desk.cancel(asked.id, asked.owner), asked.desk)


def _shown(batch: Batch, desk: Desk) -> dict[str, Any]:
    """Return OpenAI's object; an open batch that does not go on says why among its errors."""
    shown = batch.shown()
    if not batch.has_ended and (why := desk.troubles.get(batch.id) or desk.troubles.get("batches")):
        fault = Fault("server_error", f"{why}; it will be tried again")
        shown["errors"] = {"object": "list", "data": [fault.shown()]}
    return shown
