"""Turns: which of several models computes now.

Each model has a worker, a session and threads of its own, as many as it would have alone. So that
the threads at work are never more than those, one model has the turn and runs its batches, several
at a time if it may. It keeps the turn as long as it has rows, and stops when another waits that has
had less: once its last run has ended, the turn goes to the one that has had least. What is counted
is time, so a large model and a small one get equal shares, and a flooded one takes no more than
what others leave. A model that comes back after a pause is next, but has saved up no more than
QUANTUM_SECONDS.

A run may be long, or hang. Who has waited for PATIENCE_SECONDS and is due gets the turn, and
computes beside that run. So no model waits for the end of another's.
"""

import threading
import time
from collections.abc import Callable

QUANTUM_SECONDS = 0.01  # how much more a model may have had than one that waits
PATIENCE_SECONDS = 0.5


class Turns:
    """The state that the turns of all models share."""

    def __init__(
        self,
        quantum_seconds: float = QUANTUM_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.quantum_seconds = quantum_seconds
        self.patience_seconds = patience_seconds
        self.clock = clock
        self.lock = threading.Lock()
        # Under the lock:
        self.of_models: list[Turn] = []
        self.holder: Turn | None = None
        self.counted = 0.0  # until when the holder's turn is in what it has had
        self.most = 0.0  # seconds that a holder has had: a newcomer counts as having about as many

    def join(self, wake: Callable[[], None]) -> "Turn":
        """Return the turn of another model; `wake` is called, on any thread, when it has come."""
        turn = Turn(self, wake)
        with self.lock:
            self.of_models.append(turn)
        return turn

    def count(self) -> float:
        """Add the turn so far to what its holder has had; return the time. Needs the lock."""
        now = self.clock()
        if self.holder is not None:
            self.holder.had += now - self.counted
            self.most = max(self.most, self.holder.had)
        self.counted = now
        return now


class Alone:
    """The turn of the only model, which it always has."""

    is_free = True

    def may_run(self) -> bool:
        """Return True: no other model computes."""
        return True

    def settle(self, *, runs: int, wants: bool) -> None:
        """Do nothing: there is no one to pass the turn on to."""

    def seconds_left(self) -> float | None:
        """Return None: the turn is never waited for."""
        return None

    def leave(self) -> None:
        """Do nothing."""


class Turn:
    """The turn of one of several models, for its worker."""

    def __init__(self, turns: Turns, wake: Callable[[], None]) -> None:
        self._turns = turns
        self.wake = wake
        # Under the lock:
        self.had = 0.0  # seconds of turns
        self.since: float | None = None  # when it began to wait

    def may_run(self) -> bool:
        """Check whether rows that wait may be computed now; if not, their model waits for it."""
        turns = self._turns
        with turns.lock:
            now, holder = turns.count(), turns.holder
            if holder is self:
                return not any(one.is_due_after(self) for one in turns.of_models)
            if self.since is None:
                self.had = max(self.had, turns.most - turns.quantum_seconds)
                self.since = now
            if holder is not None and self._seconds_left(holder, now) > 0:
                return False
            self.since = None
            turns.holder = self
            return True

    @property
    def is_free(self) -> bool:
        """True if no other model has the turn, so that it may be used for spare work."""
        with self._turns.lock:
            return self._turns.holder in {None, self}

    def settle(self, *, runs: int, wants: bool) -> None:
        """Tell how many runs are in progress, and whether rows wait; call after each change."""
        with self._turns.lock:
            if not wants:
                self.since = None
            if self._turns.holder is self and not runs:
                self._pass_on(wants=wants)

    def seconds_left(self) -> float | None:
        """Return for how many seconds the turn is to be waited for; None if it is not."""
        turns = self._turns
        with turns.lock:
            if self.since is None or turns.holder is None:
                return None
            return self._seconds_left(turns.holder, turns.count())

    def leave(self) -> None:
        """Have no more turns."""
        with self._turns.lock:
            self._turns.of_models.remove(self)
            if self._turns.holder is self:
                self._pass_on(wants=False)

    def is_due_after(self, holder: "Turn") -> bool:
        """Check whether it waits and has had so much less than the holder that it is next."""
        return self.since is not None and self.had + self._turns.quantum_seconds <= holder.had

    def _seconds_left(self, holder: "Turn", now: float) -> float:
        assert self.since is not None
        until_due = self.had + self._turns.quantum_seconds - holder.had
        return max(0.0, until_due, self.since + self._turns.patience_seconds - now)

    def _pass_on(self, *, wants: bool) -> None:
        """Give the turn to the one that waits and has had least, or keep it for rows that wait."""
        turns = self._turns
        now = turns.count()
        waiting = [one for one in turns.of_models if one.since is not None and one is not self]
        if waiting:
            self.since = now if wants else None
            turns.holder = min(waiting, key=lambda one: one.had)
            turns.holder.since = None
            turns.holder.wake()
        elif not wants:
            turns.holder = None
