"""Caller: who makes a call, as its metadata says, and the spans of the requests in it."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from grpc import StatusCode

from app.api.http.correlation import REQUEST_ID, TRACE_PARENT, RequestIds
from app.api.http.metric_series import REQUESTS_BY_KEY
from app.api.http.service import Service
from app.api.verbs.spans import RequestSpan
from app.errors import ServiceError
from app.rpc.statuses import CallRefused
from app.telemetry.metrics import labels
from app.telemetry.tracing import Tracer, read_trace_parent

AUTHORIZATION = b"authorization"

Metadata = Iterable[tuple[str, str | bytes]]


class Caller:
    """The origin of one call: its id, its trace, and the name of its key."""

    def __init__(self, scope: dict[str, Any], tracer: Tracer | None, request_id: bytes) -> None:
        self._scope = scope
        self._tracer = tracer
        self.headers = [(REQUEST_ID, request_id)]  # of every answer to it

    @contextlib.contextmanager
    def request(self, name: str) -> Iterator[RequestSpan]:
        """Yield the span of a request, which ends with the block if that fails."""
        span = RequestSpan(self._scope, self._tracer, name)
        try:
            yield span
        except ServiceError as error:
            span.failed(error)
            raise


class Callers:
    """Knows who may call."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._ids = RequestIds()

    def admitted(self, metadata: Metadata) -> Caller:
        """Return who makes the call with this metadata.

        Raises: CallRefused without one of the keys, if there are any.
        """
        headers = [(name.encode(), _bytes(value)) for name, value in metadata]
        first = dict(reversed(headers))
        request_id, parent = self._ids.of(first.get(REQUEST_ID)), first.get(TRACE_PARENT)
        scope: dict[str, Any] = {
            "headers": headers,
            "request_id": request_id.decode(),
            "trace_parent": read_trace_parent(parent) if parent else None,
        }
        if (keys := self._service.keys) is not None:
            key = keys.find(first.get(AUTHORIZATION, b""))
            if key is None:
                raise CallRefused(StatusCode.UNAUTHENTICATED, "No valid auth token")
            if key.name is not None:
                scope["api_key_name"] = key.name
                self._service.metrics.count(REQUESTS_BY_KEY, labels(api_key=key.name))
        return Caller(scope, self._service.tracer, request_id)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
