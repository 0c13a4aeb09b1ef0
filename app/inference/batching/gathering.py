"""Gathering: the jobs of one turn of the event loop reach the worker together.

One at a time, the first would wake the worker, which would form a batch of it alone.
"""

import asyncio
from typing import Protocol

from app.errors import ServiceError
from app.inference.batching.job import Job


class Jobs(Protocol):
    """Takes jobs to be computed."""

    def submit(self, job: Job) -> None:
        """Queue a job; `job.done` is called exactly once, unless this raises ServiceError."""


class Gathering:
    """Hands jobs over at the end of a turn; lives on one event loop."""

    def __init__(self, worker: Jobs) -> None:
        self._worker = worker
        self._gathered: list[Job] = []

    def submit(self, job: Job) -> None:
        """Queue a job; `job.done` is called exactly once, whatever happens."""
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._gathered.append(job)

    def _hand_over(self) -> None:
        jobs, self._gathered = self._gathered, []
        for job in jobs:
            try:
                self._worker.submit(job)
            except ServiceError as error:
                job.done(error)
