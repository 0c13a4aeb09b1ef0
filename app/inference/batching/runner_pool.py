"""RunnerPool: which runner computes which run and until when, and who replaces one that hangs."""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from app.inference.batching.runner import EndableRuns, Finished, Run, Runner
from app.model.parts import Padding

logger = logging.getLogger(__name__)

# How long a run that was told to end may take to do so; it ends between two nodes of its graph.
GRACE_SECONDS = 5.0
# Long beside the pause between two queries of a client that asks again when it has its answer.
QUIET_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How batches are computed."""

    threads: int = 1  # runs at a time in each session
    lone_threads: int = 0  # more of them, for inputs that came alone
    one_long: bool = False  # one input at a time that is longer than a batch
    timeout_seconds: float = 120.0  # that one run may take
    grace_seconds: float = GRACE_SECONDS
    quiet_seconds: float = QUIET_SECONDS  # in which nobody asks, before a shape is learned


class Lost(Exception):
    """The session cannot be trusted with another run; the process has to be replaced."""


class RunnerPool:
    """The runners of every session; lives on the worker's thread."""

    def __init__(
        self,
        sessions: Sequence[EndableRuns],
        padding: Padding,
        options: RunOptions,
        report: Callable[[Finished], None],
    ) -> None:
        self._padding = padding
        self.options = options
        self._report = report
        runners = options.threads + options.lone_threads
        self._idle = [self._runner(one) for _ in range(runners) for one in sessions]
        self._running: dict[Runner, Run] = {}
        self._stuck: set[Runner] = set()  # replaced; may still come back

    def start(self) -> None:
        """Start the threads; once."""
        for place, runner in enumerate(self._idle):
            runner.start(f"run-{place}")

    @property
    def running(self) -> Collection[Run]:
        """The runs under way."""
        return self._running.values()

    @property
    def count(self) -> int:
        """How many runs there may be at a time."""
        return len(self._idle) + len(self._running)

    @property
    def has_idle(self) -> bool:
        """Whether another run can be launched."""
        return bool(self._idle)

    def launch(self, run: Run) -> None:
        """Hand a run to an idle runner."""
        runner = self._idle.pop()
        run.deadline = time.monotonic() + self.options.timeout_seconds
        self._running[runner] = run
        runner.compute(run)

    def take_back(self, finished: Finished) -> bool:
        """Let its runner compute another; False of a run that had been given up with its runner."""
        if finished.runner in self._stuck:
            self._stuck.discard(finished.runner)
            finished.runner.end()
            logger.warning("a run that had been given up ended after %.0f s", finished.seconds)
            return False
        del self._running[finished.runner]
        self._idle.append(finished.runner)
        return True

    def patience(self) -> float | None:
        """Seconds until a run is overdue; None where nothing runs."""
        deadline = min((run.deadline for run in self.running), default=None)
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def overdue(self) -> Iterator[Run]:
        """The runs that have just outlasted their limit; each is told to end.

        Raises: Lost when a second one has not ended though it was told to.
        """
        now = time.monotonic()
        for runner, run in list(self._running.items()):
            if now < run.deadline:
                continue
            if run.overdue:
                self._replace(runner)
                continue
            run.overdue = True
            run.deadline = now + self.options.grace_seconds
            yield run
            runner.terminate()

    def end(self) -> None:
        """End the threads, each after what it computes."""
        for runner in (*self._idle, *self._running, *self._stuck):
            runner.end()

    def _replace(self, runner: Runner) -> None:
        """Put a fresh runner in the place of one that does not come back."""
        if self._stuck:
            raise Lost("two runs did not end when they were told to")
        logger.error("a run did not end when it was told to; a fresh thread takes over")
        del self._running[runner]
        self._stuck.add(runner)
        fresh = self._runner(runner.session)
        fresh.start("run-again")
        self._idle.append(fresh)

    def _runner(self, session: EndableRuns) -> Runner:
        return Runner(session, self._padding, self._report)
