"""RunnerPool: which runner computes which run and until when; it replaces runners that hang."""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Self

from app.inference.batching.runner import EndableRuns, Finished, Run, Runner
from app.inference.batching.turns import Alone, Turn
from app.inference.providers.plan import Plan
from app.model.parts import Padding
from app.options.settings import Settings

logger = logging.getLogger(__name__)

# Within this time a run that was told to end must do so; it can between two nodes of its graph.
GRACE_SECONDS = 5.0
# No request for this long counts as quiet: longer than a client pauses between two queries.
QUIET_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options for computing batches."""

    threads: int = 1  # runs at a time in each session
    single_input_threads: int = 0  # more of them, for single-input jobs
    one_long: bool = False  # only one input longer than a batch at a time
    timeout_seconds: float = 120.0  # of one run
    grace_seconds: float = GRACE_SECONDS
    quiet_seconds: float = QUIET_SECONDS  # without a request, before a shape is learned

    @classmethod
    def of(cls, settings: Settings, plan: Plan) -> Self:
        """Return the options for a plan under these settings."""
        return cls(
            plan.run_threads, plan.single_input_threads, plan.one_long, settings.run_timeout_seconds
        )


class WorkerLost(Exception):
    """The session cannot be trusted with another run; the process has to be replaced."""


class RunnerPool:
    """The runners of every session; lives on the worker's thread."""

    def __init__(
        self,
        sessions: Sequence[EndableRuns],
        padding: Padding,
        options: RunOptions,
        report: Callable[[Finished], None],
        turn: Turn | Alone,
    ) -> None:
        self._turn = turn
        self._padding = padding
        self.options = options
        self._report = report
        self._most = options.threads * len(sessions)  # runs at a time, beside single-input ones
        runners = options.threads + options.single_input_threads
        self._idle = [self._runner(one) for _ in range(runners) for one in sessions]
        self._running: dict[Runner, Run] = {}
        self._stuck: set[Runner] = set()  # replaced, but may still come back

    def start(self) -> None:
        """Start the threads; call once."""
        for place, runner in enumerate(self._idle):
            runner.start(f"run-{place}")

    @property
    def running(self) -> Collection[Run]:
        """The runs in progress."""
        return self._running.values()

    @property
    def count(self) -> int:
        """The number of runs that there may be at a time."""
        return len(self._idle) + len(self._running)

    def tokens(self) -> int:
        """Return the tokens of all rows that are being computed; from any thread."""
        return sum(run.tokens for run in tuple(self._running.values()))

    def may_launch(self) -> bool:
        """Check whether another run can be launched; beside other models, wait for the turn."""
        return bool(self._idle) and self._turn.may_run()

    def settle(self, *, wants: bool) -> None:
        """Give up the turn if nothing is running; call once everything that may run was launched.

        `wants` says whether there is more to launch.
        """
        self._turn.settle(runs=len(self._running), wants=wants)

    def quiet_in(self, since: float) -> float | None:
        """Return the seconds until nothing has run for long enough, or None if something runs."""
        if self._running:
            return None
        if not self._turn.is_free:  # another model computes
            return self.options.quiet_seconds
        return max(0.0, since + self.options.quiet_seconds - time.monotonic())

    @property
    def takes_single_input_only(self) -> bool:
        """True if idle runners are kept for single-input jobs."""
        return sum(not run.is_single_input for run in self.running) >= self._most

    def runs_longer_than(self, tokens: int) -> bool:
        """Check whether an input longer than that is being computed, if there may be only one."""
        return self.options.one_long and any(run.length > tokens for run in self.running)

    def launch(self, run: Run) -> None:
        """Hand a run to an idle runner."""
        runner = self._idle.pop()
        run.deadline = time.monotonic() + self.options.timeout_seconds
        self._running[runner] = run
        runner.compute(run)

    def take_back(self, finished: Finished) -> bool:
        """Make a run's runner idle again; return False if both had been given up."""
        if finished.runner in self._stuck:
            self._stuck.discard(finished.runner)
            finished.runner.end()
            logger.warning("a run that had been given up ended after %.0f s", finished.seconds)
            return False
        del self._running[finished.runner]
        self._idle.append(finished.runner)
        return True

    def seconds_left(self) -> float | None:
        """Return the seconds until a run is overdue, or waiting for the turn; or None."""
        deadline = min((run.deadline for run in self.running), default=None)
        turn_in = self._turn.seconds_left()
        if deadline is None:
            return turn_in
        left = max(0.0, deadline - time.monotonic())
        return left if turn_in is None else min(left, turn_in)

    def overdue(self) -> list[Run]:
        """Tell each run that has just exceeded its timeout to end, and return them.

        Raises: WorkerLost when a second run has not ended although it was told to.
        """
        now = time.monotonic()
        found = []
        for runner, run in list(self._running.items()):
            if now < run.deadline:
                continue
            if run.overdue:
                self._replace(runner)
                continue
            run.overdue = True
            run.deadline = now + self.options.grace_seconds
            runner.terminate()
            found.append(run)
        return found

    def end(self) -> None:
        """End the threads, each after its current run, and take no more turns."""
        self._turn.leave()
        for runner in (*self._idle, *self._running, *self._stuck):
            runner.end()

    def _replace(self, runner: Runner) -> None:
        """Replace a runner that does not come back."""
        if self._stuck:
            raise WorkerLost("two runs did not end when they were told to")
        logger.error("a run did not end when it was told to; a fresh thread takes over")
        del self._running[runner]
        self._stuck.add(runner)
        fresh = self._runner(runner.session)
        fresh.start("run-again")
        self._idle.append(fresh)

    def _runner(self, session: EndableRuns) -> Runner:
        return Runner(session, self._padding, self._report)
