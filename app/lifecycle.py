"""Lifecycle: the state that the signal handler, the middleware and the health routes share."""

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class Lifecycle:
    """The counts and the end of the service; lives on the event loop."""

    failure: str | None = None  # the reason why the process must be replaced
    ending: asyncio.Event = field(default_factory=asyncio.Event)  # the server is to stop
    accepted: int = 0  # requests since the start
    in_flight: int = 0  # complete requests that are not answered; at the end, those that are lost

    @property
    def draining(self) -> bool:
        """True if the port closes soon, or has closed."""
        return self.ending.is_set()

    def end(self) -> None:
        """Begin to shut down; the health routes are the first to say so."""
        self.ending.set()

    def fail(self, reason: str) -> None:
        """End because the process cannot do its work any more."""
        self.failure = reason
        self.end()
