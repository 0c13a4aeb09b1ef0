"""Lifecycle: what the signal handler, the middleware and the health route know of each other."""

from dataclasses import dataclass


@dataclass(slots=True)
class Lifecycle:
    """Lives on the event loop."""

    draining: bool = False  # a signal came: the port closes soon
    accepted: int = 0  # requests since the start
    in_flight: int = 0  # requests accepted and not yet answered
