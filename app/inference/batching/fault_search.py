"""Fault search: the rows of a failed batch are computed again in parts, to find the input at fault.

A batch is halved until each input at fault is alone. If the session itself fails, whatever the
input, the whole batch fails soon.
"""

import logging
from dataclasses import replace

from app.errors import BackendFailed, OutOfMemory, ServiceError
from app.inference.batching.pending_jobs import Pending
from app.inference.batching.runner import FailureCount, Run
from app.model.batch import BatchLimits, blank
from app.model.parts import Padding
from app.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


class FaultSearch:
    """The parts of failed batches still to be computed; lives on the worker's thread."""

    def __init__(self, pending: Pending, padding: Padding, metrics: Metrics) -> None:
        self._pending = pending
        self._padding = padding
        self._metrics = metrics
        self._parts: list[Run] = []  # a stack: the last goes first

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def _limits(self) -> BatchLimits:
        return self._pending.waiting.limits

    def next(self) -> Run | None:
        """Return the part to compute next, or None."""
        while self._parts:
            part = self._parts.pop()
            if part.batch is not None:
                return part
            rows = self._pending.wanted(part)
            count = self._limits.rows(len(rows)) if rows else 0
            if rows[count:]:
                self._parts.append(Run.of(rows[count:], part.failures, self._limits))
            if count:
                return Run.of(rows[:count], part.failures, self._limits)
        return None

    def look(self, run: Run, error: BaseException) -> None:
        """Halve a failed run; fail the jobs of a single input, or all if no input is at fault."""
        if isinstance(error, OutOfMemory | MemoryError):
            self._lower_limit(run)
        failures = run.failures
        if run.batch is not None:  # a blank run, which no input can have failed
            self._condemn(failures, error)
            return
        rows = self._pending.wanted(run)
        if len(run.rows) > 1:
            middle = len(rows) // 2
            parts = (rows[middle:], rows[:middle])
            self._parts += [Run.of(part, failures, self._limits) for part in parts if part]
            logger.warning("a run of %d inputs failed and is halved: %r", len(rows), error)
        else:
            self._pending.fail(rows, _as_service_error(error))
        failures.in_a_row += 1
        if failures.in_a_row == failures.limit:
            blameless = blank(1, self._limits.padded(1), self._padding)
            self._parts.append(Run((), run.outputs, failures, batch=blameless))

    def _condemn(self, failures: FailureCount, error: BaseException) -> None:
        """Fail the rest of a batch, since a run without any of its inputs failed as well."""
        left = [part for part in self._parts if part.failures is failures]
        self._parts = [part for part in self._parts if part.failures is not failures]
        for part in left:
            self._pending.fail(self._pending.wanted(part), _as_service_error(error))

    def _lower_limit(self, run: Run) -> None:
        """Halve the token limit of later batches after this run; one input may always run."""
        self._metrics.count("te_out_of_memory")
        tokens = run.length * len(run.rows) // 2
        if len(run.rows) > 1 and tokens < self._limits.max_tokens:
            self._pending.waiting.limits = replace(self._limits, max_tokens=tokens)
            self._metrics.set("te_batch_max_tokens", tokens)
            logger.warning("out of memory: from now on a batch holds at most %d tokens", tokens)


def _as_service_error(error: BaseException) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    return BackendFailed(f"Backend error: {error!r}")
