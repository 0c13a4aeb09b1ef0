"""Job: inputs are read, computed and written at the same time, in order, in bounded memory."""

import asyncio
import logging
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from app.bulk import identity
from app.bulk.chunks import WINDOW, Chunk, chunked
from app.bulk.computing import Embedded, VectorOptions, embedded, opened, require_vectors
from app.bulk.options import BulkOptions
from app.bulk.progress import Progress
from app.bulk.reading.inputs import Inputs
from app.bulk.rows import JobError
from app.bulk.writing import folder as output
from app.bulk.writing.shards import ShardOptions, Shards
from app.inference.served_model import ServedModel
from app.options.settings import Settings

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Summary:
    """The work that a job has done, earlier runs included."""

    rows: int
    rejected: int
    tokens: int  # of this run only
    seconds: float


def run(options: BulkOptions, settings: Settings, inputs: Inputs, model_folder: Path) -> Summary:
    """Embed all inputs into the output folder, which has been claimed.

    Raises: StartupError, JobError or OSError with the cause.
    """
    return asyncio.run(_embed_all(options, inputs, opened(model_folder, settings)))


async def _embed_all(options: BulkOptions, inputs: Inputs, model: ServedModel) -> Summary:
    try:
        vectors = VectorOptions(options.dimensions, options.normalize, options.dtype)
        await require_vectors(model, vectors)
        described = identity.described(options, model)
        folder = output.opened(options.output, described, identity.OPTIONS, resume=options.resume)
        if folder.next_row:
            logger.info("going on after %d rows in %d parts", folder.next_row, len(folder.parts))
        metadata = identity.metadata(options, model)
        shards = Shards(folder, ShardOptions(options.format, options.shard_rows, metadata))
        with closing(Progress(inputs.size, lambda: inputs.bytes_read)) as progress:
            pipeline = _Pipeline(model, vectors, shards, progress)
            tokens = await pipeline.run(chunked(inputs.rows(folder.next_row)))
        return Summary(shards.rows, shards.rejected, tokens, progress.seconds)
    finally:
        await model.close(CLOSE_SECONDS)


class _Pipeline:
    """Reading, computing and writing, each of which waits for the slowest."""

    def __init__(
        self, model: ServedModel, options: VectorOptions, shards: Shards, progress: Progress
    ) -> None:
        self._model = model
        self._options = options
        self._shards = shards
        self._progress = progress
        self._waiting: deque[asyncio.Task[Embedded]] = deque()
        self._tokens = 0

    async def run(self, chunks: Iterator[Chunk]) -> int:
        """Compute and write all chunks; return the number of their tokens."""
        task = asyncio.current_task()
        assert task is not None
        stopped: list[int] = []
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, partial(_stop, task, stopped, number))
        try:
            await self._all(chunks)
        except asyncio.CancelledError:
            if not stopped:
                raise
            await self._written(self._shards.complete)
            name = signal.Signals(stopped[0]).name
            raise JobError(f"{name} ended the job: --resume goes on", 128 + stopped[0]) from None
        finally:
            for one in self._waiting:
                one.cancel()
            await asyncio.gather(*self._waiting, return_exceptions=True)
        return self._tokens

    async def _all(self, chunks: Iterator[Chunk]) -> None:
        ended: JobError | None = None
        while True:
            try:
                chunk = await asyncio.to_thread(next, chunks, None)
            except JobError as error:
                chunk, ended = None, error
            if chunk is None:
                break
            self._waiting.append(asyncio.create_task(embedded(self._model, chunk, self._options)))
            if len(self._waiting) >= WINDOW:
                await self._write_first()
        await self._rest()
        if ended is not None:
            raise ended

    async def _rest(self) -> None:
        while self._waiting:
            await self._write_first()
        await self._written(self._shards.complete)

    async def _write_first(self) -> None:
        done = await self._waiting[0]
        self._waiting.popleft()
        await self._written(partial(self._shards.add, done))
        self._tokens += done.tokens
        self._progress.advance(len(done.rows) + len(done.rejected), done.tokens)

    async def _written(self, write: Callable[[], None]) -> None:
        """Write on a thread, to the end even if a signal comes during it. Raises: JobError."""
        writing = asyncio.ensure_future(asyncio.to_thread(write))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            raise
        except OSError as error:
            raise JobError(f"the output cannot be written: {error}: --resume goes on") from None


def _stop(task: "asyncio.Task[Any]", stopped: list[int], number: int) -> None:
    if not stopped:
        stopped.append(number)
        task.cancel()
