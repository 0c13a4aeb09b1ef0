"""Tracing: the trace that a request belongs to, and the spans that a tracer records."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

_TRACE_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class TraceParent:
    """The caller's span, which a request is part of; both ids in hexadecimal."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Span:
    """The record of a request that has ended."""

    name: str
    parent: TraceParent | None
    seconds: float
    attributes: Mapping[str, str]
    error: str | None = None


class Tracer(Protocol):
    """Takes spans, and sends them from a thread of its own."""

    def record(self, span: Span) -> None:
        """Queue a span that ends now, or drop it if the queue is full. Never blocks."""

    def close(self) -> None:
        """Send what is queued, within a bounded time."""


def read_trace_parent(value: bytes) -> TraceParent | None:
    """Return the parent that a W3C `traceparent` header names, or None if it is malformed."""
    match = _TRACE_PARENT.fullmatch(value)
    if match is None:
        return None
    version, trace_id, span_id, _, more = match.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    if not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    return TraceParent(trace_id.decode(), span_id.decode())
