"""Bounds: how many calls there may be, and how many of them may hold part of a message.

The library holds received parts of a message that a call reads; no share of bytes covers them.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from grpc import StatusCode

from app.options.settings import Settings
from app.rpc.statuses import CallRefused

LEAST_MESSAGES = 32
STREAMS_FOR_EACH_MESSAGE = 3


@dataclass(frozen=True, slots=True)
class CallLimits:
    """The limits of calls and their messages."""

    message_bytes: int
    client_seconds: float  # seconds for a message to come, or for an answer to be read
    calls: int
    messages: int  # calls with one message that are read at a time

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits of these settings."""
        return cls(
            message_bytes=settings.payload_limit,
            client_seconds=settings.client_timeout_seconds,
            calls=settings.max_connections,
            messages=max(LEAST_MESSAGES, settings.max_concurrent_bytes // settings.payload_limit),
        )


class Bounds:
    """Counts calls: those that are open, that read their one message, and that are streams."""

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._calls = self._streams = 0
        self.reading = asyncio.Semaphore(limits.messages)  # further calls wait

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Count a call in the block; raises CallRefused if there are too many."""
        self._require(self._calls < self._limits.calls, "calls")
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream in the block, which reads nearly always; raises CallRefused likewise."""
        most = STREAMS_FOR_EACH_MESSAGE * self._limits.messages
        self._require(self._streams < most, "streams")
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    def _require(self, is_free: bool, what: str) -> None:
        if not is_free:
            raise CallRefused(StatusCode.RESOURCE_EXHAUSTED, f"too many {what} at a time")
