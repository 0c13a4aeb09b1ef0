"""Fault search: the rows of a failed batch are computed again in parts, to find the input at fault.

A batch is halved until each input at fault is alone. If the session itself fails, whatever the
input, the whole batch fails soon.
"""

import logging

from app.errors import BackendFailed, ServiceError
from app.inference.batching.pending import Pending
from app.inference.batching.runner import Run, Search
from app.model.batch import BatchLimits, blank
from app.model.parts import Padding

logger = logging.getLogger(__name__)


class FaultSearch:
    """The parts of failed batches still to be computed; lives on the worker's thread."""

    def __init__(self, pending: Pending, padding: Padding) -> None:
        self._pending = pending
        self._padding = padding
        self._parts: list[Run] = []  # a stack: the last goes first

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
                self._parts.append(Run.of(rows[count:], part.search, self._limits))
            if count:
                return Run.of(rows[:count], part.search, self._limits)
        return None

    def look(self, run: Run, error: BaseException) -> None:
        """Halve a failed run; fail the jobs of a single input, or all if no input is at fault."""
        search = run.search
        if run.batch is not None:  # a blank run, which no input can have failed
            self._condemn(search, error)
            return
        rows = self._pending.wanted(run)
        if len(run.rows) > 1:
            middle = len(rows) // 2
            parts = (rows[middle:], rows[:middle])
            self._parts += [Run.of(part, search, self._limits) for part in parts if part]
            logger.warning("a run of %d inputs failed and is halved: %r", len(rows), error)
        else:
            self._pending.fail(rows, _as_service_error(error))
        search.failures += 1
        if search.failures == search.limit:
            blameless = blank(1, self._limits.padded(1), self._padding)
            self._parts.append(Run((), run.outputs, search, batch=blameless))

    def _condemn(self, search: Search, error: BaseException) -> None:
        """Fail the rest of a batch, since a run without any of its inputs failed as well."""
        left = [part for part in self._parts if part.search is search]
        self._parts = [part for part in self._parts if part.search is not search]
        for part in left:
            self._pending.fail(self._pending.wanted(part), _as_service_error(error))


def _as_service_error(error: BaseException) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    return BackendFailed(f"Backend error: {error!r}")
