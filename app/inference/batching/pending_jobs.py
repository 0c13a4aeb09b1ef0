"""Pending jobs: those not answered yet, and what happens to their rows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.errors import ServiceError
from app.inference.batching.job import Job, deliver
from app.inference.batching.queue import Waiting
from app.inference.batching.runner import Finished, Run
from app.model.batch import BatchLimits
from app.model.names import PER_TOKEN_OUTPUTS
from app.telemetry.metrics import Metrics


class Pending:
    """Jobs with rows still missing; lives on the worker's thread."""

    def __init__(self, limits: BatchLimits, metrics: Metrics) -> None:
        self.waiting = Waiting(limits)  # their rows that no batch has taken yet
        self._metrics = metrics
        self._jobs: dict[int, Job] = {}  # by arrival
        self._arrivals = 0

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def add(self, job: Job) -> None:
        """Register a job and queue all of its rows."""
        self._arrivals += 1
        job.arrival = self._arrivals
        job.missing = len(job.inputs)
        job.rows = [None] * len(job.inputs)
        self._jobs[job.arrival] = job
        self.waiting.add(job)

    def drop_abandoned(self) -> None:
        """Drop abandoned jobs that still have rows in the queue."""
        for job in self.waiting.abandoned():
            self._discard(job)

    def wanted(self, run: Run) -> list[tuple[Job, int]]:
        """Return the rows of a run whose jobs still need them."""
        for job in {job for job, _ in run.rows if job.abandoned and job.arrival in self._jobs}:
            self._discard(job)
        return [(job, index) for job, index in run.rows if job.arrival in self._jobs]

    def fail(self, rows: Sequence[tuple[Job, int]], error: ServiceError) -> None:
        """Answer the jobs of these rows with an error."""
        jobs = list(dict.fromkeys(job for job, _ in rows))
        for job in jobs:
            self._discard(job)
        deliver([(job, error) for job in jobs])

    def store(self, finished: Finished) -> None:
        """Copy each computed row to its job, and answer the jobs that are complete now."""
        complete = []
        for place, (job, index) in enumerate(finished.run.rows):
            if job.arrival not in self._jobs:
                continue  # failed in the meantime, because of another of its rows
            job.rows[index] = tuple(_values(finished, output, place) for output in job.outputs)
            job.queue_seconds += finished.started - job.submitted
            job.inference_seconds += finished.seconds
            job.missing -= 1
            if not job.missing:
                del self._jobs[job.arrival]
                complete.append(job)
        deliver([(job, None) for job in complete])

    def end(self, late: Sequence[Job], error: ServiceError) -> None:
        """Answer every remaining job with an error, and the `late` ones that were never added."""
        deliver([(job, error) for job in (*self._jobs.values(), *late)])

    def _discard(self, job: Job) -> None:
        """Remove a job: drop its queued rows, and ignore those that are still being computed."""
        if job.abandoned:
            self._metrics.count("te_request_failure", 'err="dropped"', job.queued)
        self.waiting.remove(job)
        del self._jobs[job.arrival]


def _values(finished: Finished, output: str, place: int) -> NDArray[np.float32]:
    """Return an output of one row of a batch; padding has none."""
    values: NDArray[np.float32] = finished.results[output][place]
    if output in PER_TOKEN_OUTPUTS:
        assert finished.attention_mask is not None
        values = values[finished.attention_mask[place] == 1]
    return values
