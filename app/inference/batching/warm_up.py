"""WarmUp: the shapes of a batch that a provider has still to learn, and which of them is next.

OpenVINO prepares itself for each new shape, in each of its streams: some milliseconds, in the first
run of that shape. That is much of a short run and little of a long one, and nothing but a run
teaches a shape. So lone inputs come first, then whatever costs least: for a second before anybody
can ask, and on in quiet times. What requests have run is learned as well.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from app.errors import BackendFailed
from app.inference.batching.runner import Run, Search
from app.model.batch import Runs, blank
from app.model.parts import Padding

logger = logging.getLogger(__name__)

Shape = tuple[int, int]  # rows, tokens of each

START_SECONDS = 1.0  # by which a start may take longer


class WarmUp:
    """How often each shape has still to run; the worker's, once its thread has started.

    A stream takes one run at a time, and idle ones take turns: a shape that has run as often as
    there are streams is learned. It is over when `learned` equals `wanted`.
    """

    def __init__(
        self,
        shapes: Iterable[Shape] = (),
        output: str = "",
        padding: Padding | None = None,
        streams: Sequence[Runs] = (),
    ) -> None:
        """`streams` holds the session of each; no shapes where there is nothing to learn."""
        self._output = output
        self._padding = padding
        self._streams = streams
        self._missing = dict.fromkeys(sorted(shapes, key=_usefulness), len(streams))
        self.wanted = len(self._missing)
        self.learned = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to learn."""
        return not self._missing

    def next(self) -> Run | None:
        """A run of the shape to learn next, with nobody's input; None where it is over."""
        shape = next(iter(self._missing), None)
        if shape is None:
            return None
        assert self._padding is not None
        batch = blank(*shape, self._padding)
        return Run((), (self._output,), Search(limit=1), batch=batch, is_spare=True)

    def ran(self, shape: Shape) -> None:
        """Count a run of that shape, whoever asked for it."""
        if shape in self._missing:
            self._missing[shape] -= 1
            if not self._missing[shape]:
                del self._missing[shape]
                self.learned += 1

    def give_up(self, error: BaseException | None = None) -> None:
        """Leave the rest to requests."""
        if error is not None:
            logger.warning("%d shapes are left to requests: %r", len(self._missing), error)
        self._missing.clear()
        self.wanted = self.learned

    def at_start(self, seconds: float = START_SECONDS) -> None:
        """Learn what can be learned in that time, in every stream at once; before the first job."""
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
    """Sorts lone inputs first, then by what a run costs."""
    rows, length = shape
    return rows > 1, rows * length


def _compute(run: Run, session: Runs) -> None:
    assert run.batch is not None
    session.run(run.batch, run.outputs)
