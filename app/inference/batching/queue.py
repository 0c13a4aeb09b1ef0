"""Queue: the rows that no batch has taken yet, and which of them go next."""

from bisect import bisect, bisect_right
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from app.inference.batching.job import Job
from app.model.batch import BatchLimits, choose

# One batch in this many takes a row of the job that has waited longest, so that none starves.
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
        self._spare = 0  # tokens of the rows that give way
        self._jobs: dict[int, Job] = {}  # by arrival; those with rows here
        self._batches = 0
        self._since_oldest = 0  # batches, since the longest waiting job had one

    def __len__(self) -> int:
        return len(self._rows)

    def tokens(self) -> int:
        """Return the tokens of all rows but those that give way; from any thread."""
        return max(0, sum(self._lengths) - self._spare)

    def add(self, job: Job) -> None:
        """Queue all rows of a job."""
        job.last_batch = self._batches
        job.queued = len(job.inputs)
        if job.gives_way:
            self._spare += sum(map(len, job.inputs))
        self._jobs[job.arrival] = job
        rows = [_Row(len(tokens), job.arrival, place) for place, tokens in enumerate(job.inputs)]
        if len(rows) == 1:
            place = bisect(self._rows, rows[0])
            self._rows.insert(place, rows[0])
            self._lengths.insert(place, rows[0].length)
        else:
            self._keep(sorted(self._rows + rows))

    def remove(self, job: Job) -> None:
        """Remove the rows of a job, if any are left."""
        if self._jobs.pop(job.arrival, None) is not None:
            if job.gives_way:
                own = (row.length for row in self._rows if row.arrival == job.arrival)
                self._spare -= sum(own)
            self._keep([row for row in self._rows if row.arrival != job.arrival])

    def abandoned(self) -> Iterator[Job]:
        """Return the jobs whose clients have left."""
        return (job for job in tuple(self._jobs.values()) if job.abandoned)

    def take(
        self, longest: int | None = None, *, single_input: bool = False
    ) -> list[tuple[Job, int]]:
        """Remove and return the rows of the next batch, each with its position in its job.

        None has more than `longest` tokens, and with `single_input` all are of single-input jobs,
        so there may be none.
        """
        places = self._places(longest, single_input=single_input)
        if not places:
            return []
        job = self._first(places, single_input=single_input)
        places = self._beside(job, places)
        anchor = next(i for i, at in enumerate(places) if self._rows[at].arrival == job.arrival)
        chosen = places[choose([self._lengths[at] for at in places], anchor, self.limits)]
        taken = [self._rows[at] for at in chosen]
        for at in reversed(chosen):
            del self._rows[at], self._lengths[at]
        self._batches += 1
        if job.gives_way:  # and so do all of them
            self._spare -= sum(row.length for row in taken)
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

    def _places(self, longest: int | None, *, single_input: bool) -> Sequence[int]:
        """Return the places of the rows that may go now, in ascending order."""
        end = len(self._rows) if longest is None else bisect_right(self._lengths, longest)
        if not single_input:
            return range(end)
        return [at for at in range(end) if self._jobs[self._rows[at].arrival].is_single_input]

    def _beside(self, job: Job, places: Sequence[int]) -> Sequence[int]:
        """Return those places whose rows may be computed with those of the job.

        They take the same route through the model, and give way if the job does.
        """
        if len(self._jobs) == 1:
            return places
        wanted = job.route, job.gives_way
        if all((one.route, one.gives_way) == wanted for one in self._jobs.values()):
            return places
        jobs = [self._jobs[self._rows[at].arrival] for at in places]
        pairs = zip(places, jobs, strict=True)
        return [at for at, one in pairs if (one.route, one.gives_way) == wanted]

    def _first(self, places: Sequence[int], *, single_input: bool) -> Job:
        """Return the job that must have a row in the next batch.

        It is the one with the fewest rows left, so that a query does not wait behind a bulk
        request; but now and then the one not served for longest, so that none starves. One that
        gives way does so whatever else may go.
        """
        everyone = self._jobs.values()
        jobs: Collection[Job] = everyone
        if len(places) < len(self._rows):
            jobs = [self._jobs[arrival] for arrival in {self._rows[at].arrival for at in places}]
        if not single_input:
            self._since_oldest += 1
        if single_input or self._since_oldest < OLDEST_EVERY:
            return min(jobs, key=lambda job: (job.gives_way, job.queued, job.arrival))
        oldest = min(jobs, key=_served)
        if oldest is min(everyone, key=_served):
            self._since_oldest = 0
        return oldest


def _served(job: Job) -> tuple[bool, int, int]:
    """Return a sort key: the job served longest ago comes first, behind it those that give way."""
    return job.gives_way, job.last_batch, job.arrival
