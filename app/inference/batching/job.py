"""Job: one request's inputs on their way through the worker and back to its event loop."""

import logging
import time
from asyncio import AbstractEventLoop
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from app.errors import ServiceError
from app.model.batch import TokenizedInput
from app.records import record

logger = logging.getLogger(__name__)


# What was computed of one input: an array for each of its job's outputs, in their order.
Row = tuple[NDArray[np.float32], ...]


class Completion(Protocol):
    """Receives a job's outcome; called once, on the job's event loop."""

    def __call__(self, error: ServiceError | None) -> None: ...


@dataclass(slots=True, eq=False)
class Job:
    """One request's inputs, and what the graph's `outputs` are for each.

    The worker owns it from `submit` until `done` is called; others may only set `abandoned`.
    """

    inputs: Sequence[TokenizedInput]
    outputs: tuple[str, ...]
    loop: AbstractEventLoop
    done: Completion
    rows: list[Row | None] = field(default_factory=list)  # by input, when done
    route: str = ""  # rows of different routes are never computed together
    abandoned: bool = False  # the client has left: rows not yet in a batch are dropped
    queue_seconds: float = 0.0  # sum over the rows, as is inference_seconds
    inference_seconds: float = 0.0
    submitted: float = field(default_factory=time.perf_counter)
    arrival: int = 0  # position in the order of submission
    queued: int = 0  # rows not yet in a batch
    missing: int = 0  # rows not yet computed
    gives_way: bool = False  # to the rows of all jobs that do not, and is in no batch with them
    last_batch: int = 0  # number of the batch that last took a row, or that preceded its arrival

    @property
    def is_single_input(self) -> bool:
        """True if it has a single input, as a query has."""
        return len(self.inputs) == 1 and not self.gives_way


@record(eq=False)
class Outcome:
    """The results for some inputs; seconds are sums over them."""

    rows: Sequence[Row]
    queue_seconds: float
    inference_seconds: float

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> Self:
        """Return the outcome of finished jobs of one request, each submitted after another."""
        rows: list[Row] = []
        queue_seconds = inference_seconds = 0.0
        for job in jobs:
            rows += [row for row in job.rows if row is not None]
            waited = (job.submitted - jobs[0].submitted) * len(job.inputs)
            queue_seconds += waited + job.queue_seconds
            inference_seconds += job.inference_seconds
        return cls(rows, queue_seconds, inference_seconds)


def deliver(outcomes: Sequence[tuple[Job, ServiceError | None]]) -> None:
    """Deliver outcomes with one call for each event loop; from any thread."""
    by_loop: dict[AbstractEventLoop, list[tuple[Job, ServiceError | None]]] = {}
    for job, error in outcomes:
        by_loop.setdefault(job.loop, []).append((job, error))
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_complete, group)
        except RuntimeError:
            logger.warning(
                "%d answers could not be delivered: their event loop is closed", len(group)
            )


def _complete(outcomes: Sequence[tuple[Job, ServiceError | None]]) -> None:
    for job, error in outcomes:
        job.done(error)
