"""Waiting: the rows that no batch has taken yet, and which of them go next."""

from bisect import bisect
from collections.abc import Iterator
from typing import NamedTuple

from app.inference.batch import BatchLimits, choose
from app.inference.job import Job

# One batch in so many goes to the job that has waited longest for a row of its own.
OLDEST_EVERY = 8


class _Row(NamedTuple):
    """One waiting input; sorts by length, then by arrival."""

    length: int
    arrival: int
    position: int  # among the inputs of its job


class Waiting:
    """Rows of jobs, in ascending length; lives on the worker's thread."""

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits  # of the next batch
        self._rows: list[_Row] = []
        self._lengths: list[int] = []  # of the rows
        self._jobs: dict[int, Job] = {}  # by arrival; those with rows here
        self._batches = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, job: Job) -> None:
        """Let every row of a job wait."""
        job.last_batch = self._batches
        job.queued = len(job.inputs)
        self._jobs[job.arrival] = job
        rows = [_Row(len(tokens), job.arrival, place) for place, tokens in enumerate(job.inputs)]
        if len(rows) == 1:
            place = bisect(self._rows, rows[0])
            self._rows.insert(place, rows[0])
            self._lengths.insert(place, rows[0].length)
        else:
            self._keep(sorted(self._rows + rows))

    def remove(self, job: Job) -> None:
        """Forget the rows of a job, if it has any here."""
        if self._jobs.pop(job.arrival, None) is not None:
            self._keep([row for row in self._rows if row.arrival != job.arrival])

    def abandoned(self) -> Iterator[Job]:
        """Jobs that nobody waits for any more."""
        return (job for job in tuple(self._jobs.values()) if job.abandoned)

    def take(self) -> list[tuple[Job, int]]:
        """The rows of the next batch, each with its position in its job."""
        chosen = choose(self._lengths, self._anchor(), self.limits)
        taken = self._rows[chosen]
        del self._rows[chosen], self._lengths[chosen]
        self._batches += 1
        rows = [(self._jobs[row.arrival], row.position) for row in taken]
        for job, _ in rows:
            job.last_batch = self._batches
            job.queued -= 1
            if not job.queued:
                del self._jobs[job.arrival]
        return rows

    def _keep(self, rows: list[_Row]) -> None:
        self._rows = rows
        self._lengths = [row.length for row in rows]

    def _anchor(self) -> int:
        """The place of the row that must go into the next batch.

        It belongs to the job with the fewest rows left, so that a query does not wait behind a
        bulk request; but now and then to the job not served for longest, so that none starves.
        """
        if self._batches % OLDEST_EVERY == OLDEST_EVERY - 1:
            job = min(self._jobs.values(), key=lambda job: (job.last_batch, job.arrival))
        else:
            job = min(self._jobs.values(), key=lambda job: (job.queued, job.arrival))
        return next(i for i, row in enumerate(self._rows) if row.arrival == job.arrival)
