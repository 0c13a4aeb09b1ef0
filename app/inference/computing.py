"""Computing: from the inputs of one request to rows of the model, by permits, tokens and worker."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.errors import ServiceError
from app.inference.admission import Admission, InputOptions
from app.inference.batching.gathering import Jobs
from app.inference.batching.job import Job, Outcome
from app.inference.reuse.reuse import Asked, Held, Reuse
from app.inference.tokenizing.encoding_input import EncodingInput
from app.inference.tokenizing.inputs_at_fault import FaultOf
from app.model.batch import TokenizedInput
from app.model.names import LEXICAL_WEIGHTS, PER_TOKEN_OUTPUTS
from app.records import record

T = TypeVar("T")

NUMBER_BYTES = np.dtype(np.float32).itemsize


def _ignored(*_: object) -> None:
    """Ignore the report."""


@record()
class Progress:
    """Callbacks for the progress of one request; by default none is of interest."""

    asked: Callable[[], None] = _ignored  # it is a request to the model
    # The model is of its kind, and this many inputs were accepted.
    accepted: Callable[[int], None] = _ignored
    # Its rows will take this many bytes; raises ServiceError if there is no room for them.
    measured: Callable[[int], None] = _ignored


UNTOLD = Progress()

Ready = Callable[[str], Awaitable[None]]  # returns once an output can be computed


async def at_once(output: str) -> None:
    """Return: the sessions compute every output."""
    del output


@record()
class Timings:
    """Seconds; queue and inference are means over the inputs of a request."""

    tokenization: float
    queue: float
    inference: float


@record(eq=False)
class Computed(Generic[T]):
    """The answer to one request of N inputs."""

    value: T
    token_counts: tuple[int, ...]  # (N,), special tokens included, after truncation
    timings: Timings
    truncated: tuple[int, ...] = ()  # the inputs of which something was left out, ascending


@record(eq=False)
class Rows:
    """The results for N inputs: a column for each output of a graph, in the order asked."""

    inputs: list[TokenizedInput]
    columns: tuple[list[NDArray[np.float32]], ...]  # an array for each input
    timings: Timings

    @property
    def values(self) -> list[NDArray[np.float32]]:
        """The column of the first output."""
        return self.columns[0]

    def joined(self, vectors: NDArray[np.float32], *, normalize: bool) -> NDArray[np.float32]:
        """Return a vector for each input, (N, D), of those made of each row."""
        del normalize
        return vectors

    def answer(self, value: T) -> Computed[T]:
        """Return an answer with this value and the rows' token counts and timings."""
        truncated = tuple(place for place, one in enumerate(self.inputs) if one.truncated)
        return Computed(value, tuple(map(len, self.inputs)), self.timings, truncated)


class Computing:
    """Computes the rows of a request's inputs; lives on one event loop.

    Each method raises ServiceError. Cancelling one frees its permits at once; rows that are not yet
    in a batch are never computed.
    """

    def __init__(
        self,
        admission: Admission,
        jobs: Jobs,
        dimensions: int,
        progress: Progress,
        ready: Ready,
        reuse: Reuse,
    ) -> None:
        self._admission = admission
        self._jobs = jobs
        self._dimensions = dimensions  # of the model's main output
        self._progress = progress
        self._ready = ready
        self._reuse = reuse

    async def rows(
        self,
        inputs: Sequence[EncodingInput],
        options: InputOptions,
        outputs: tuple[str, ...],
        check: Callable[[], None],
    ) -> Rows:
        """Return a graph's outputs for each input, of one pass; `check` raises if it lacks any.

        Checks in TEI's order: the size of the batch, permits, `check`, tokens, the model.
        """
        self._progress.asked()
        held = self._admission.admitted(len(inputs), options.promised)
        with held as at_a_time:
            with FaultOf(len(inputs)):
                check()
            self._progress.accepted(len(inputs))
            started = time.perf_counter()
            # Tokenize all before computing the first, since any of them may be at fault.
            tokenized = await self._admission.encode(inputs, options)
            seconds = time.perf_counter() - started
            self._progress.measured(self._bytes_of(outputs, tokenized))
            outcome = await self._outcome(tokenized, options, outputs, held, at_a_time)
        return Rows(tokenized, columns(outcome), timings([outcome], len(tokenized), seconds))

    def _outcome(
        self,
        tokenized: Sequence[TokenizedInput],
        options: InputOptions,
        outputs: tuple[str, ...],
        held: Held,
        at_a_time: int,
    ) -> Awaitable[Outcome]:
        """Compute outputs of these inputs on their route, `at_a_time`, or find them known."""
        route = self._admission.route(options)
        read, name = (outputs, "") if route is None else ((route.output,), route.name)
        asked = Asked(tokenized, read, name)
        return self._reuse.outcome(asked, partial(self._in_jobs, asked, at_a_time), held)

    async def _in_jobs(
        self, asked: Asked, at_a_time: int, inputs: Sequence[TokenizedInput]
    ) -> Outcome:
        """Compute what is asked of some of the inputs, `at_a_time`."""
        if len(inputs) <= at_a_time:
            return Outcome.of([await self.run(inputs, asked.outputs, asked.route)])
        jobs = [
            await self.run(inputs[start : start + at_a_time], asked.outputs, asked.route)
            for start in range(0, len(inputs), at_a_time)
        ]
        return Outcome.of(jobs)

    def _bytes_of(self, outputs: Sequence[str], inputs: Sequence[TokenizedInput]) -> int:
        """Estimate the bytes that outputs take for these inputs."""
        numbers = 0
        for output in outputs:
            vectors = sum(map(len, inputs)) if output in PER_TOKEN_OUTPUTS else len(inputs)
            numbers += vectors * (1 if output == LEXICAL_WEIGHTS else self._dimensions)
        return numbers * NUMBER_BYTES

    async def run(
        self, inputs: Sequence[TokenizedInput], outputs: tuple[str, ...], route: str = ""
    ) -> Job:
        """Have the worker compute outputs of these inputs on a route; return the finished job."""
        for output in outputs:
            await self._ready(output)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        done = partial(_settle, answer)
        job = Job(inputs, outputs, loop, done, route=route)
        self._jobs.submit(job)
        try:
            await answer
        except asyncio.CancelledError:
            job.abandoned = True
            raise
        except ServiceError:
            del answer, job, done  # a cycle with the error would keep the request alive
            raise
        return job


def columns(outcome: Outcome) -> tuple[list[NDArray[np.float32]], ...]:
    """Return each output of what was computed, for all inputs."""
    return tuple(map(list, zip(*outcome.rows, strict=True)))


def timings(outcomes: Sequence[Outcome], inputs: int, tokenization: float) -> Timings:
    """Return the timings of a request of that many inputs."""
    queue = inference = 0.0
    for one in outcomes:
        queue += one.queue_seconds
        inference += one.inference_seconds
    return Timings(tokenization, queue / inputs, inference / inputs)


def _settle(answer: "asyncio.Future[None]", error: ServiceError | None) -> None:
    if answer.done():
        return  # cancelled before
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)
