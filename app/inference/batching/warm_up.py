"""WarmUp: the batch shapes that a provider has still to learn, and which of them is next.

OpenVINO prepares itself for each new shape in each of its streams, which adds some milliseconds to
the first run of that shape: much for a short run, little for a long one. Only a run can teach a
shape. So single inputs come first, then the cheapest shapes: for a second before the port opens,
and later in quiet times. Shapes that requests happen to run are learned as well.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from app.errors import BackendFailed
from app.inference.batching.runner import FailureCount, Run
from app.model.batch import Runs, blank
from app.model.parts import Padding

logger = logging.getLogger(__name__)

Shape = tuple[int, int]  # rows, tokens of each

START_SECONDS = 1.0  # how much longer a start may take


class WarmUp:
    """The runs that each shape still needs; the worker's, once its thread has started.

    A stream takes one run at a time, and idle streams take turns: a shape that has run as often as
    there are streams is learned. Warm-up is over when `learned` equals `wanted`.
    """

    def __init__(
        self,
        shapes: Iterable[Shape] = (),
        output: str = "",
        padding: Padding | None = None,
        streams: Sequence[Runs] = (),
    ) -> None:
        """Take the session of each stream, and the shapes to learn, if there are any."""
        self._output = output
        self._padding = padding
        self._streams = streams
        self._missing = dict.fromkeys(sorted(shapes, key=_usefulness), len(streams))
        self.wanted = len(self._missing)
        self.learned = 0

    @property
    def is_over(self) -> bool:
        """True if nothing is left to learn."""
        return not self._missing

    def next(self) -> Run | None:
        """Return a blank run of the shape to learn next, or None if there is none."""
        shape = next(iter(self._missing), None)
        if shape is None:
            return None
        assert self._padding is not None
        batch = blank(*shape, self._padding)
        return Run((), (self._output,), FailureCount(limit=1), batch=batch, is_spare=True)

    def ran(self, shape: Shape) -> None:
        """Count a run of that shape, whether a request's or a blank one."""
        if shape in self._missing:
            self._missing[shape] -= 1
            if not self._missing[shape]:
                del self._missing[shape]
                self.learned += 1

    def give_up(self, error: BaseException | None = None) -> None:
        """Stop learning shapes; requests will meet the rest unprepared."""
        if error is not None:
            logger.warning("%d shapes are left to requests: %r", len(self._missing), error)
        self._missing.clear()
        self.wanted = self.learned

    def at_start(self, seconds: float = START_SECONDS) -> None:
        """Learn shapes for that long, in every stream at once; call before the first job."""
        if self.is_over:
            return
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(len(self._streams)) as pool:
            while time.monotonic() < end and (run := self.next()) is not None:
                try:
                    list(pool.map(partial(_compute, run), self._streams))
                except BackendFailed as error:
                    self.give_up(error)
                for _ in self._streams:
                    self.ran(run.shape)
        logger.info("Learned %d of %d shapes of a batch", self.learned, self.wanted)


def _usefulness(shape: Shape) -> tuple[bool, int]:
    """Return a sort key: single inputs first, then by the cost of a run."""
    rows, length = shape
    return rows > 1, rows * length


def _compute(run: Run, session: Runs) -> None:
    assert run.batch is not None
    session.run(run.batch, run.outputs)
