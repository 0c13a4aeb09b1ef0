"""Lifecycle: what the signal handler, the middleware and the health routes know of each other."""

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class Lifecycle:
    """Lives on the event loop."""

    failure: str | None = None  # why the process has to be replaced
    ending: asyncio.Event = field(default_factory=asyncio.Event)  # the server is to stop
    accepted: int = 0  # requests since the start
    in_flight: int = 0  # requests that came whole and are not answered; at the end, those lost

    @property
    def draining(self) -> bool:
        """Whether the port closes soon, or has."""
        return self.ending.is_set()

    def end(self) -> None:
        """Begin to shut down; whoever asks for our health learns it first."""
        self.ending.set()

    def fail(self, reason: str) -> None:
        """End because the process cannot do its work any more."""
        self.failure = reason
        self.end()
