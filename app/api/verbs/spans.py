"""Spans: one for each request that reached its handler, logged and sent to a tracer."""

import logging
import time

from starlette.types import Scope

from app.errors import ServiceError
from app.inference.computing import Timings
from app.telemetry.logs import duration, shortened
from app.telemetry.tracing import Span, Tracer

logger = logging.getLogger("app.api.spans")  # operators filter by this name


class RequestSpan:
    """From the start of a request to its answer; named after TEI's handlers once known."""

    def __init__(self, scope: Scope, tracer: Tracer | None, name: str = "") -> None:
        self.name = name
        self.model = ""  # the name of its model, if that is one of several
        self.started = time.perf_counter()
        self._scope = scope
        self._tracer = tracer

    def seconds(self) -> float:
        """Return how long the request has taken so far."""
        return time.perf_counter() - self.started

    def child(self, name: str) -> "RequestSpan":
        """Begin the span of one of several requests in a body."""
        return RequestSpan(self._scope, self._tracer, name)

    def computed(self, timings: Timings, seconds: float) -> None:
        """Log a computed answer with its timings, in one line as TEI does, and trace it."""
        if self._tracer is None and not logger.isEnabledFor(logging.INFO):
            return
        fields = {
            "total_time": duration(seconds),
            "tokenization_time": duration(timings.tokenization),
            "queue_time": duration(timings.queue),
            "inference_time": duration(timings.inference),
            **self._origin(),
        }
        logger.info("Success", extra={"span": {"name": self.name, **fields}})
        self._trace(fields)

    def answered(self) -> None:
        """Trace an answer that needed no model; TEI logs nothing of it."""
        self._trace(self._origin())

    def failed(self, error: ServiceError) -> None:
        """Log and trace a request that was refused or failed, in one line with the reason."""
        fields = self._origin()
        reason = shortened(str(error))  # a client's text may be part of it
        logger.error("%s", reason, extra={"span": {"name": self.name, **fields}})
        self._trace(fields, reason)

    def _origin(self) -> dict[str, str]:
        parent = self._scope["trace_parent"]
        fields = {"request_id": self._scope["request_id"]}
        if self.model:
            fields["model"] = self.model
        if (key := self._scope.get("api_key_name")) is not None:
            fields["api_key"] = key
        return fields if parent is None else {**fields, "trace_id": parent.trace_id}

    def _trace(self, fields: dict[str, str], error: str | None = None) -> None:
        if self._tracer is not None:
            parent = self._scope["trace_parent"]
            self._tracer.record(Span(self.name, parent, self.seconds(), fields, error))
