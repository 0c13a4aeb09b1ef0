"""Progress: callbacks that report how far a request has come in the engine."""

from collections.abc import Callable
from dataclasses import dataclass


def _nobody(*_: object) -> None:
    """Ignore the report."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Callbacks for the progress of one request; by default none is of interest."""

    asked: Callable[[], None] = _nobody  # it is a request to the model
    accepted: Callable[[int], None] = _nobody  # with this many inputs, and the model is of its kind
    # Its rows will take this many bytes; raises ServiceError if there is no room for them.
    measured: Callable[[int], None] = _nobody


UNTOLD = Progress()
