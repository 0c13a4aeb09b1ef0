"""Endpoint: one operation on files or batches, and every error of it in OpenAI's shape."""

import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.types import Receive, Scope, Send

from app.api.http.service import Service
from app.api.http.transport import JSON, RawHeaders, respond
from app.batches.desk import Desk
from app.batches.folder import reason
from app.batches.objects import BatchError
from app.batches.store import Page
from app.errors import ClientGone, ServiceError, UnreadableRequest

logger = logging.getLogger(__name__)


class Asked:
    """A request to the files or batches."""

    def __init__(self, service: Service, scope: Scope, receive: Receive) -> None:
        self.service = service
        self.scope = scope
        self.receive = receive
        self.owner: str = scope.get("api_key_name", "")
        self._query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)

    @property
    def desk(self) -> Desk:
        """The files and batches."""
        assert self.service.desk is not None
        return self.service.desk

    @property
    def id(self) -> str:
        """The id in the path."""
        found: str = self.scope["path_params"]["id"]
        return found

    def given(self, name: str) -> str | None:
        """Return a parameter of the query, or None."""
        values = self._query.get(name)
        return None if values is None else values[-1]

    def page(self, default: int, most: int) -> Page:
        """Return the page of a list that is asked for. Raises: BatchError."""
        limit, order = self.given("limit"), self.given("order") or "desc"
        if limit is None:
            limit = str(default)
        if not (limit.isascii() and limit.isdigit() and len(limit) < 7 and 1 <= int(limit) <= most):
            raise BatchError(400, f"'limit' must be a number from 1 to {most}.", param="limit")
        if order not in {"asc", "desc"}:
            raise BatchError(400, "'order' must be 'asc' or 'desc'.", param="order")
        return Page(int(limit), self.given("after"), "asc" if order == "asc" else "desc")

    async def json(self) -> dict[str, Any]:
        """Return the JSON object that is the body.

        Raises: BatchError, UnreadableRequest or ServiceError; ClientGone.
        """
        with self.service.bodies.holding() as share:
            content = await self.service.bodies.read_json(self.scope, self.receive, share)
            try:
                found = orjson.loads(content)
            except orjson.JSONDecodeError:
                raise BatchError(400, "The body could not be parsed as JSON.") from None
        if type(found) is not dict:
            raise BatchError(400, "The body must be a JSON object.")
        return found


Act = Callable[[Asked], Awaitable[dict[str, Any]]]  # an operation


class Endpoint:
    """Answers with the JSON object that an operation returns."""

    def __init__(self, service: Service, act: Act) -> None:
        self._service = service
        self._act = act

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            found = await self._act(Asked(self._service, scope, receive))
        except ERRORS as error:
            await respond_error(send, error)
        else:
            await respond(send, 200, orjson.dumps(found), JSON, [])


class Disabled:
    """Answers that there are no files and batches, and what would change that."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        message = (
            f"There is no {scope['path']}: files and batches are kept where the service is started "
            "with --batch-dir FOLDER (BATCH_DIR)."
        )
        await respond_error(send, BatchError(404, message))


ERRORS = (BatchError, ServiceError, UnreadableRequest, ClientGone, OSError, sqlite3.Error)


async def respond_error(send: Send, error: Exception) -> None:
    """Answer with an error that `ERRORS` names."""
    if isinstance(error, ClientGone):
        logger.debug("the client went away before its answer")
        return
    message, param, code, kind = str(error), None, None, "invalid_request_error"
    headers: RawHeaders = []
    if isinstance(error, BatchError):
        status, param, code = error.status, error.param, error.code
    elif isinstance(error, (ServiceError, UnreadableRequest)):
        status = error.status
        if status == 429:
            headers = [(b"retry-after", b"1")]
    else:
        assert isinstance(error, (OSError, sqlite3.Error))
        status, kind = 507, "server_error"
        message = f"The batch folder cannot be used: {reason(error)}"
        logger.error("%s", message)
    if status == 429:
        kind = "rate_limit_error"
    nested = {"message": message, "type": kind, "param": param, "code": code}
    await respond(send, status, orjson.dumps({"error": nested}), JSON, headers)


def listed(objects: list[dict[str, Any]], page: Page) -> dict[str, Any]:
    """Return OpenAI's list of objects, of which one more than the page has was asked for."""
    found = objects[: page.limit]
    return {
        "object": "list",
        "data": found,
        "first_id": found[0]["id"] if found else None,
        "last_id": found[-1]["id"] if found else None,
        "has_more": len(objects) > page.limit,
    }


def one_more(page: Page) -> Page:
    """Return a page with one object more, whose presence tells whether there are others."""
    return Page(page.limit + 1, page.after, page.order)
