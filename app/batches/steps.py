"""Steps: one batch from its state to the next, a group of lines at a time.

All that is known of a batch is in the store: a step reads it, acts, and says so in one transaction,
after what it has written. So whatever ends the process, the next one repeats at most one step, and
nothing of that is there twice.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from app.batches import attempts
from app.batches.desk import Desk
from app.batches.input_lines import GROUP_LINES, Line, Rules, checked, group
from app.batches.objects import Batch, Fault, Status
from app.batches.progress import Progress
from app.batches.results import CANCELLED, EXPIRED, Answer, Refusal, Results
from app.telemetry.metrics import Metrics, labels

T = TypeVar("T")

logger = logging.getLogger(__name__)

FIRST_LINES = 16  # lines of a group, until the speed is known
GROUP_SECONDS = 1.0  # target for a group: a crash loses as much, and a shutdown waits for it


class NotNow(Exception):
    """The model cannot compute anything at the moment."""


class InputGone(Exception):
    """The input of a batch is not on the disk any more; no retry would bring it back."""


# Returns answers to the first lines, at least one, until there is no more room; raises NotNow.
Compute = Callable[[Sequence[Line]], Awaitable[list[Answer]]]


@dataclass(frozen=True, slots=True)
class Work:
    """The functions and limits that the runner computes with."""

    compute: Compute
    line_bytes: int  # bytes of a request's line, at most
    knows: Callable[[str], bool]  # whether a model of that name is served


class Steps:
    """Takes the batches of a desk on; lives on one event loop."""

    def __init__(
        self, desk: Desk, work: Work, metrics: Metrics, clock: Callable[[], float]
    ) -> None:
        self._desk = desk
        self._store = desk.folder.store
        self._progress = Progress(desk.folder)
        self._work = work
        self._metrics = metrics
        self._clock = clock
        self._lines = FIRST_LINES  # lines of the next group

    async def take(self, batch: Batch) -> None:
        """Take a batch one step on. Raises: NotNow, OSError, sqlite3.Error."""
        try:
            await self._take(batch)
        except InputGone:
            if await self._is_still(batch):
                fault = Fault("server_error", "The input file is not there any more.")
                await self.fail(batch.id, [fault])

    async def _take(self, batch: Batch) -> None:
        if batch.status == "validating":
            await self._validate(batch)
        elif batch.status == "finalizing":
            await self._end(batch, "completed")
        elif batch.status == "cancelling":
            await self._give_up(batch, CANCELLED, "cancelled")
        elif self._clock() >= batch.expires_at:
            await self._give_up(batch, EXPIRED, "expired")
        else:
            await self._compute(batch)

    async def _validate(self, batch: Batch) -> None:
        rules = Rules(batch.endpoint, self._work.line_bytes, self._work.knows)
        over = threading.Event()
        try:
            reading = self._read(batch, checked, rules, over.is_set)
            found = await self._unless_cancelled(batch, reading)
        finally:
            over.set()
        if found is None:
            return
        if found.faults:
            await self.fail(batch.id, found.faults)
        else:
            logger.info("%s: %d requests", batch.id, found.total)
            await self._do(self._progress.validated, batch, found.total, found.model, self._now())

    async def _compute(self, batch: Batch) -> None:
        is_doubtful = attempts.is_doubtful(batch)
        lines = await self._next_lines(batch, 1 if is_doubtful else self._lines)
        if not lines:
            if await self._is_whole(batch):
                await self._do(self._progress.computed, batch, self._now())
            return
        if attempts.is_hopeless(batch):
            logger.error("%s: %r ended the service; it is given up", batch.id, lines[0].custom_id)
            await self._keep(batch, lines, Results.of(lines, [attempts.ENDED]))
            return
        try:
            await self._do(self._progress.note, batch, attempts.begun(batch, lines))
            began = time.monotonic()
            answers = await self._unless_cancelled(batch, self._work.compute(lines))
            if answers is None:
                return
            if not is_doubtful:
                seconds = time.monotonic() - began
                self._lines = lines_after(self._lines, len(lines), len(answers), seconds)
            lines = lines[: len(answers)]
            await self._keep(batch, lines, await asyncio.to_thread(Results.of, lines, answers))
        except BaseException:  # whatever the error, the process goes on, or ends in order
            await self._do(self._progress.note, batch, attempts.as_before(batch))
            raise

    async def _unless_cancelled(self, batch: Batch, working: Awaitable[T]) -> T | None:
        """Return what work returns, or None if the batch is cancelled in the meantime."""
        work = asyncio.ensure_future(working)
        changed = asyncio.create_task(self._desk.changed.wait())
        try:
            while not work.done():
                await asyncio.wait({work, changed}, return_when=asyncio.FIRST_COMPLETED)
                if changed.done() and not work.done():
                    self._desk.changed.clear()
                    changed = asyncio.create_task(self._desk.changed.wait())
                    if not await self._is_still(batch):
                        return None
            return work.result()
        finally:
            work.cancel()
            changed.cancel()

    async def _is_still(self, batch: Batch) -> bool:
        """Return whether the batch is in the same state, and not cancelled in the meantime."""
        now = await self._desk.do(partial(self._store.batch, batch.id))
        return now is not None and now.status == batch.status

    async def _give_up(self, batch: Batch, why: Refusal, status: Status) -> None:
        """Write that the next lines are not computed any more, or end after the last one."""
        try:
            lines = await self._next_lines(batch, None) if batch.total else []
        except InputGone:
            await self._end(batch, status)
            return
        if lines:
            await self._keep(batch, lines, await asyncio.to_thread(Results.refused, lines, why))
        elif await self._is_whole(batch):
            await self._end(batch, status)

    async def _is_whole(self, batch: Batch) -> bool:
        """Return whether every line has a result at the input's end; if not, fail the batch."""
        if batch.waiting:
            message = "The input file is not the one that was checked: some lines have no result."
            await self.fail(batch.id, [Fault("server_error", message)])
        return not batch.waiting

    async def _next_lines(self, batch: Batch, lines: int | None) -> list[Line]:
        return await self._read(batch, group, batch.next_byte, lines)

    async def _read(self, batch: Batch, read: Callable[..., T], *values: object) -> T:
        """Return what is read of the input. Raises: InputGone, OSError."""
        path = self._desk.folder.place(batch.input_file_id)
        try:
            return await asyncio.to_thread(read, path, *values)
        except FileNotFoundError:
            raise InputGone from None

    async def _keep(self, batch: Batch, lines: Sequence[Line], found: Results) -> None:
        try:
            await self._do(self._progress.keep, batch, lines, found)
        except EOFError:
            fault = Fault("server_error", "Results that were written are not there any more.")
            await self.fail(batch.id, [fault])
            return
        for result, count in (("completed", found.completed), ("failed", found.failed)):
            self._metrics.count("te_batches_requests", labels(result=result), count)

    async def fail(self, batch_id: str, faults: Sequence[Fault]) -> None:
        """End a batch because of faults. Raises: OSError, sqlite3.Error."""
        await self._do(self._progress.fail, batch_id, faults, self._now())
        logger.warning("%s failed: %s", batch_id, faults[0].message)
        self._metrics.count("te_batches_ended", labels(status="failed"))

    async def _end(self, batch: Batch, status: Status) -> None:
        await self._do(self._progress.end, batch, status, self._now())
        counts = (batch.id, status, batch.completed, batch.failed, batch.total)
        logger.info("%s %s: %d answered and %d failed of %d requests", *counts)
        self._metrics.count("te_batches_ended", labels(status=status))

    async def _do(self, act: Callable[..., None], *values: object) -> None:
        await self._desk.do(partial(act, *values))

    def _now(self) -> int:
        return int(self._clock())


def lines_after(lines: int, computed: int, answered: int, seconds: float) -> int:
    """Return how many lines the next group may have, after one that took so long.

    Of those that were to be computed, there was room for the answers of some.
    """
    if seconds > GROUP_SECONDS:
        return max(1, min(lines, answered) // 2)
    if answered < computed:
        return answered
    return min(GROUP_LINES, 2 * lines) if seconds < GROUP_SECONDS / 2 else lines
