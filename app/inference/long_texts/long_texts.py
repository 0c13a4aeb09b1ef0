"""LongTexts: what requests ask of texts that take several windows of the model.

Each window counts as an input: as many are computed at a time as the request gets permits for, and
a request may have no more of them than inputs.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.inference.admission import InputOptions
from app.inference.batching.job import Outcome
from app.inference.computing import Computed, Computing, Rows, T, columns, timings
from app.inference.long_texts.means import SpanSums, averaged
from app.inference.long_texts.spans import require_inputs, require_spans, token_ranges
from app.inference.long_texts.windows import Window, consecutive, overlapping
from app.inference.reuse.reuse import Asked
from app.inference.tokenizing.documents import Document, require_windows
from app.inference.tokenizing.encoding_input import EncodingInput, require_content
from app.inference.tokenizing.inputs_at_fault import FaultOf
from app.model.names import TOKEN_EMBEDDINGS
from app.records import record

# Bytes of token vectors that are in memory at a time, unless a single window has more.
GROUP_BYTES = 8_000_000
# Numbers of token vectors that are added in about a millisecond, during which no other task runs.
ADDED_NUMBERS = 131_072
SUM_BYTES = 16  # of a component of a chunk's vector: its sum in float64, its mean, its answer


@record(eq=False)
class WindowRows(Rows):
    """The rows of windows, one or more for each input."""

    weights: Sequence[Sequence[int]]  # tokens of the text in each window, by input

    def joined(self, vectors: NDArray[np.float32], *, normalize: bool) -> NDArray[np.float32]:
        return averaged(vectors, self.weights, normalize=normalize)

    def answer(self, value: T) -> Computed[T]:
        sizes = iter(map(len, self.inputs))
        counts = tuple(sum(next(sizes) for _ in windows) for windows in self.weights)
        return Computed(value, counts, self.timings)


@dataclass(frozen=True, slots=True, eq=False)
class Chunked:
    """A text whose chunks, spans of its characters, get a vector each."""

    text: str
    spans: NDArray[np.uint64]  # (M, 2), each a start and an end in Unicode code points
    field: Literal["spans", "input"]  # of the request, that says where chunks are

    @property
    def inputs(self) -> int:
        """The number of inputs that the text becomes."""
        return 1 if self.field == "spans" else len(self.spans)

    def require_places(self) -> None:
        """Raise EmptyInput or InvalidInput if the text or a chunk is empty, or beyond the text."""
        if self.field == "input":
            require_inputs(self.spans)
        require_content(self.text)
        if self.field == "spans":
            require_spans(self.spans, len(self.text))


@record(eq=False)
class ChunkRows(Rows):
    """The means of the vectors of each chunk's tokens, as rows."""

    token_counts: tuple[int, ...]  # of the text alone, by input of the request

    def answer(self, value: T) -> Computed[T]:
        return Computed(value, self.token_counts, self.timings)


class LongTexts(Computing):
    """Computes texts in windows; as `Computing`, lives on one event loop."""

    async def windows(
        self,
        inputs: Sequence[EncodingInput],
        options: InputOptions,
        outputs: tuple[str, ...],
        check: Callable[[], None],
    ) -> WindowRows:
        """Return a graph's outputs for each window of each input; else as `rows`.

        Raises: ServiceError, BatchTooLarge for more windows than a request may have inputs.
        """
        self._progress.asked()
        held = self._admission.admitted(len(inputs), options.promised)
        with held:
            with FaultOf(len(inputs)):
                check()
            self._progress.accepted(len(inputs))
            started = time.perf_counter()
            documents = await self._admission.documents(inputs, options)
            seconds = time.perf_counter() - started
            plans = [self._plan(consecutive, one, options) for one in documents]
            self._require_windows(sum(map(len, plans)), options)
            tokenized = [
                document.window(window.start, window.stop)
                for document, plan in zip(documents, plans, strict=True)
                for window in plan
            ]
            tokens = sum(one.nbytes for one in documents)
            self._progress.measured(tokens + self._bytes_of(outputs, tokenized))
            granted = held.more(len(tokenized) - len(inputs))
            outcome = await self._outcome(tokenized, options, outputs, held, granted)
        weights = [[window.stop - window.start for window in plan] for plan in plans]
        times = timings([outcome], len(tokenized), seconds)
        return WindowRows(tokenized, columns(outcome), times, weights)

    async def chunks(
        self, asked: Chunked, options: InputOptions, check: Callable[[], None]
    ) -> ChunkRows:
        """Return the mean of the token vectors of each chunk, every token with its context.

        Raises: ServiceError, BatchTooLarge for more windows than a request may have inputs.
        """
        self._progress.asked()
        held = self._admission.admitted(asked.inputs, options.promised)
        with held:
            with FaultOf(asked.inputs):
                check()
                asked.require_places()
            self._progress.accepted(asked.inputs)
            started = time.perf_counter()
            [document] = await self._admission.documents([asked.text], options)
            seconds = time.perf_counter() - started
            ranges = token_ranges(asked.spans, document.places, asked.field)
            plan = self._plan(overlapping, document, options)
            self._require_windows(len(plan), options)
            granted = held.more(max(0, len(plan) - asked.inputs))
            sums = SpanSums(ranges, self._dimensions)
            outcomes = await self._added(sums, document, plan, granted)
        sizes = (ranges[:, 1] - ranges[:, 0]).tolist()
        counts = (len(document),) if asked.field == "spans" else tuple(sizes)
        times = timings(outcomes, len(plan), seconds)
        return ChunkRows([], (list(sums.means()),), times, counts)

    def _plan(
        self,
        divided: Callable[[int, int], list[Window]],
        document: Document,
        options: InputOptions,
    ) -> list[Window]:
        return divided(len(document), document.room(self._admission.length(options)))

    def _require_windows(self, count: int, options: InputOptions) -> None:
        length = self._admission.length(options)
        require_windows(count, length, self._admission.most(options.promised))

    async def _added(
        self, sums: SpanSums, document: Document, plan: Sequence[Window], at_a_time: int
    ) -> list[Outcome]:
        """Compute windows in groups, and add the vectors of their tokens; return what is left."""
        inputs = [document.window(window.start, window.stop) for window in plan]
        asked = Asked(inputs, (TOKEN_EMBEDDINGS,), "")
        each = self._bytes_of((TOKEN_EMBEDDINGS,), inputs[:1])
        size = max(1, min(at_a_time, len(plan), GROUP_BYTES // each))
        answered = sums.count * self._dimensions * SUM_BYTES
        self._progress.measured(document.nbytes + size * each + answered)
        spent = []
        for start in range(0, len(plan), size):
            group = slice(start, start + size)
            outcome = await self._in_jobs(asked, size, inputs[group])
            for window, (vectors,) in zip(plan[group], outcome.rows, strict=True):
                await _add(sums, window, vectors[document.before :])
            spent.append(replace(outcome, rows=()))
        return spent


async def _add(sums: SpanSums, window: Window, vectors: NDArray[np.float32]) -> None:
    """Add the vectors of the tokens that a window is used for, giving other tasks a turn."""
    step = max(1, ADDED_NUMBERS // vectors.shape[1])
    for first in range(window.first, window.end, step):
        end = min(first + step, window.end)
        sums.add(first, vectors[first - window.start : end - window.start])
        await asyncio.sleep(0)
