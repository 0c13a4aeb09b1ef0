"""Progress: what is told of a request on its way through the engine, while it is on it."""

from collections.abc import Callable
from dataclasses import dataclass


def _nobody(*_: object) -> None:
    """Hears it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Who is told how far a request has come; nobody, unless somebody wants to know."""

    asked: Callable[[], None] = _nobody  # it is a request to the model
    accepted: Callable[[int], None] = _nobody  # for so many inputs, and the model is of its kind
    # Its rows will take so many bytes; whoever has no room for them raises ServiceError.
    measured: Callable[[int], None] = _nobody


UNTOLD = Progress()
