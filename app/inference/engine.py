"""Engine: inputs in, vectors out. The only door from the API to the model.

It lives on one event loop: permits are counted there, and every job comes back there.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import BatchTooLarge, InvalidInput, Overloaded, ServiceError, Unhealthy
from app.inference.batch import TokenizedInput
from app.inference.postprocess import finish
from app.inference.tokenization import Direction, EncodeOptions, EncodingInput, Tokenization
from app.inference.worker import BatchWorker, Job


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """What one request may choose."""

    normalize: bool = True
    dimensions: int | None = None  # keep the first so many values, then normalize
    truncate: bool | None = None  # None: as the service is configured
    direction: Direction = "right"
    prompt_name: str | None = None


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the model and the configuration fix for every request."""

    output: str  # the graph's output that embeddings are read from
    dimensions: int
    prompts: dict[str, str]
    default_prompt: str | None
    auto_truncate: bool
    max_concurrent_requests: int  # inputs at a time, over all requests
    max_client_batch_size: int  # inputs of one request


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds; queue and inference are means over the inputs of a request."""

    tokenization: float
    queue: float
    inference: float


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """The answer to one request of N inputs."""

    vectors: NDArray[np.float32]  # (N, D)
    token_counts: tuple[int, ...]  # (N,), special tokens included, after truncation
    timings: Timings


class Permits:
    """How many inputs may be in the service at a time. Nothing waits for a permit."""

    def __init__(self, total: int) -> None:
        self.free = total

    @contextmanager
    def taken(self, count: int) -> Iterator[None]:
        """Hold `count` permits.

        Raises: Overloaded when fewer are free.
        """
        if count > self.free:
            raise Overloaded
        self.free -= count
        try:
            yield
        finally:
            self.free += count


class Engine:
    """Admission, tokenization, batching and post-processing of embedding requests."""

    def __init__(
        self, options: EngineOptions, tokenization: Tokenization, worker: BatchWorker
    ) -> None:
        self._options = options
        self._tokenization = tokenization
        self._worker = worker
        self.permits = Permits(options.max_concurrent_requests)

    async def embed(self, inputs: Sequence[EncodingInput], options: EmbedOptions) -> Embeddings:
        """Embed the N inputs of one request, in order.

        Cancelling it frees its permits at once; its rows not yet in a batch are never computed.
        Raises: ServiceError; of the lowest-index input, where one of several is at fault. The
        order of the checks is TEI's: batch size, permits, dimensions, tokens, model, width.
        """
        limit = self._options.max_client_batch_size
        if len(inputs) > limit:
            raise BatchTooLarge(f"batch size {len(inputs)} > maximum allowed batch size {limit}")
        with self.permits.taken(len(inputs)):
            if options.dimensions == 0:
                raise InvalidInput("Input validation error: `dimensions` should be positive")
            started = time.perf_counter()
            tokenized = await self._tokenize(inputs, options)
            tokenization_seconds = time.perf_counter() - started
            job = await self._compute(tokenized)
        assert job.rows is not None
        return Embeddings(
            vectors=self._finish(job.rows, options),
            token_counts=tuple(map(len, tokenized)),
            timings=Timings(
                tokenization=tokenization_seconds,
                queue=job.queue_seconds / len(inputs),
                inference=job.inference_seconds / len(inputs),
            ),
        )

    async def check_health(self) -> None:
        """Return if the last run succeeded, or if a fresh one of a single token does.

        Raises: Unhealthy.
        """
        if self._worker.healthy:
            return
        try:
            await self._compute([TokenizedInput(np.zeros(1, np.int64))])
        except ServiceError:
            raise Unhealthy from None

    async def close(self) -> None:
        """Answer what was admitted, then end the threads."""
        await asyncio.to_thread(self._worker.close)
        self._tokenization.close()

    async def _tokenize(
        self, inputs: Sequence[EncodingInput], options: EmbedOptions
    ) -> list[TokenizedInput]:
        truncate = self._options.auto_truncate if options.truncate is None else options.truncate
        try:
            prompt = self._prompt(options.prompt_name)
            encode_options = EncodeOptions(prompt, truncate, options.direction)
            return await self._tokenization.encode(inputs, encode_options)
        except ServiceError as error:
            error.metric_label = "tokenization"
            raise

    def _prompt(self, name: str | None) -> str | None:
        if name is None:
            return self._options.default_prompt
        return find_prompt(self._options.prompts, name)

    async def _compute(self, inputs: Sequence[TokenizedInput]) -> Job:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()

        def done(error: ServiceError | None) -> None:
            if answer.done():
                return  # cancelled meanwhile
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(error)

        job = Job(inputs, self._options.output, loop, done)
        self._worker.submit(job)
        try:
            await answer
        except asyncio.CancelledError:
            job.abandoned = True
            raise
        return job

    def _finish(self, rows: NDArray[np.float32], options: EmbedOptions) -> NDArray[np.float32]:
        if options.dimensions is not None and options.dimensions > self._options.dimensions:
            raise InvalidInput(
                "Input validation error: `dimensions` should be smaller than the maximum "
                "embedding dimension."
            )
        return finish(rows, normalize=options.normalize, dimensions=options.dimensions)


def find_prompt(prompts: dict[str, str], name: str) -> str:
    """The text of a named prompt.

    Raises: InvalidInput in TEI's words, which say `default-prompt-name` wherever the name is from.
    """
    if not prompts:
        raise InvalidInput(
            f"Input validation error: `default-prompt-name` is set to `{name}` but no prompts were "
            "found in the Sentence Transformers configuration"
        )
    if name not in prompts:
        available = ", ".join(f'"{known}"' for known in prompts)
        raise InvalidInput(
            f"Input validation error: `default-prompt-name` is set to `{name}` but it was not "
            f"found in the Sentence Transformers prompts. Available prompts: [{available}]"
        )
    return prompts[name]
