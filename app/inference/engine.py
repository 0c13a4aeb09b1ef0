"""Engine: inputs in, rows of the model out. The only door from the API to the model.

It lives on one event loop: permits are counted there, and every job comes back there. Each verb
checks in the order of TEI 1.9.3: batch size, permits, kind of model, tokens, model, width.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.errors import (
    BatchTooLarge,
    InvalidInput,
    ModelMismatch,
    Overloaded,
    ServiceError,
    TokenizationFailed,
)
from app.inference.batch import TokenizedInput
from app.inference.job import Job
from app.inference.manifest import LOGITS, SPARSE_EMBEDDING, TOKEN_EMBEDDINGS, Task
from app.inference.postprocess import finish, require_finite, scores
from app.inference.tokenization import (
    Direction,
    EncodeOptions,
    EncodingInput,
    Token,
    Tokenization,
    characters,
)
from app.inference.worker import BatchWorker

T = TypeVar("T")

# What the event loop encodes in a fifth of a millisecond, at most.
ALONE_CHARACTERS = 400
PROBE_TEXT = "health"
NOT_AN_EMBEDDER = "Backend error: Model is not an embedding model"


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How a request wants its inputs read."""

    truncate: bool | None = None  # None: as the service is configured
    direction: Direction = "right"
    prompt_name: str | None = None


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the model and the configuration fix for every request."""

    task: Task
    output: str  # the graph's output that dense embeddings are read from
    dimensions: int  # width of the model's main output
    prompts: dict[str, str]
    default_prompt: str | None
    auto_truncate: bool
    max_concurrent_requests: int  # inputs at a time, over all requests
    max_client_batch_size: int  # inputs of one request
    tokenization_timeout_seconds: float  # of one request


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds; queue and inference are means over the inputs of a request."""

    tokenization: float
    queue: float
    inference: float


@dataclass(frozen=True, slots=True, eq=False)
class Computed(Generic[T]):
    """The answer to one request of N inputs."""

    value: T
    token_counts: tuple[int, ...]  # (N,), special tokens included, after truncation
    timings: Timings


Vectors = Computed[NDArray[np.float32]]  # (N, D), scores (N, L), or sparse vectors (N, V)
TokenVectors = Computed[list[NDArray[np.float32]]]  # N × (Sᵢ, H)


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
    """Admission, tokenization, batching and post-processing; every verb raises ServiceError.

    Cancelling a verb frees its permits at once; its rows not yet in a batch are never computed.
    Where one of several inputs is at fault, the error is that of the first.
    """

    def __init__(
        self, options: EngineOptions, tokenization: Tokenization, worker: BatchWorker
    ) -> None:
        self._options = options
        self._tokenization = tokenization
        self._worker = worker
        self.permits = Permits(options.max_concurrent_requests)

    @property
    def task(self) -> Task:
        """The kind of model that is served."""
        return self._options.task

    async def embed(
        self,
        inputs: Sequence[EncodingInput],
        options: InputOptions,
        *,
        normalize: bool = True,
        dimensions: int | None = None,
    ) -> Vectors:
        """One vector for each input; of a SPLADE model, as wide as its vocabulary."""

        def check() -> None:
            if self.task == "splade" and normalize:
                raise ModelMismatch("Backend error: `normalize` is not available for SPLADE models")
            if dimensions == 0:
                raise InvalidInput("Input validation error: `dimensions` should be positive")
            if self.task not in {"embedding", "splade"}:
                raise ModelMismatch(NOT_AN_EMBEDDER)

        output = SPARSE_EMBEDDING if self.task == "splade" else self._options.output
        computed = await self._compute(inputs, options, output, check)
        if dimensions is not None and dimensions > self._options.dimensions:
            raise InvalidInput(
                "Input validation error: `dimensions` should be smaller than the maximum "
                "embedding dimension."
            )
        vectors = finish(np.stack(computed.value), normalize=normalize, dimensions=dimensions)
        return _with(computed, vectors)

    async def embed_all(
        self, inputs: Sequence[EncodingInput], options: InputOptions
    ) -> TokenVectors:
        """A vector for each token of each input, special tokens included; not normalized."""

        def check() -> None:
            if self.task == "splade":
                raise ModelMismatch("Backend error: `embed_all` is not available for SPLADE models")
            if self.task != "embedding":
                raise ModelMismatch(NOT_AN_EMBEDDER)

        computed = await self._compute(inputs, options, TOKEN_EMBEDDINGS, check)
        for rows in computed.value:
            require_finite(rows)
        return computed

    async def embed_sparse(self, inputs: Sequence[EncodingInput], options: InputOptions) -> Vectors:
        """One vector over the vocabulary for each input, most of it zeros."""

        def check() -> None:
            if self.task != "splade":
                raise ModelMismatch(f"{NOT_AN_EMBEDDER} with SPLADE pooling")

        computed = await self._compute(inputs, options, SPARSE_EMBEDDING, check)
        vectors = finish(np.stack(computed.value), normalize=False, dimensions=None)
        return _with(computed, vectors)

    async def predict(
        self, inputs: Sequence[EncodingInput], options: InputOptions, *, raw_scores: bool
    ) -> Vectors:
        """The scores of every label for each text or pair, (N, L)."""

        def check() -> None:
            if self.task not in {"classifier", "reranker"}:
                raise ModelMismatch("Backend error: Model is not a classifier model")

        computed = await self._compute(inputs, options, LOGITS, check)
        return _with(computed, scores(np.stack(computed.value), raw=raw_scores))

    def require_reranker(self) -> None:
        """Refuse to rank with another kind of model, before anything else is looked at."""
        if self.task != "reranker":
            raise ModelMismatch("Backend error: model is not a re-ranker model")

    async def tokenize(
        self, texts: Sequence[str], *, add_special_tokens: bool, prompt_name: str | None
    ) -> list[list[Token]]:
        """The tokens of each text, never truncated; takes no permits."""
        self._check_batch_size(len(texts))
        with _counted_as_tokenization():
            prompt = self._prompt(prompt_name)
            tokens = partial(
                self._tokenization.tokens_now, add_special_tokens=add_special_tokens, prompt=prompt
            )
            work = self._tokenization.run(lambda: [tokens(text) for text in texts])
            return await self._in_time(work)

    async def decode(
        self, batch: Sequence[Sequence[int]], *, skip_special_tokens: bool
    ) -> list[str]:
        """The text of each list of ids; takes no permits."""
        self._check_batch_size(len(batch))
        decode = partial(self._tokenization.decode_now, skip_special_tokens=skip_special_tokens)
        with _counted_as_tokenization():
            work = self._tokenization.run(lambda: [decode(ids) for ids in batch])
            return await self._in_time(work)

    @property
    def healthy(self) -> bool:
        """Whether the last run succeeded."""
        return self._worker.healthy

    @property
    def last_success(self) -> float:
        """When a run last succeeded, by time.monotonic()."""
        return self._worker.last_success

    @property
    def failure(self) -> str | None:
        """Why nothing will be computed any more, if so."""
        return self._worker.failure

    async def probe(self) -> None:
        """Compute a short text, past the permits and all the way; raises ServiceError."""
        tokenized = await self._in_time(self._tokenization.encode([PROBE_TEXT], EncodeOptions()))
        job = await self._run(tokenized, self._options.output)
        for row in job.rows:
            require_finite(np.asarray(row))

    def warm_up(self) -> None:
        """Prepare for every shape of a batch, in the time that requests leave."""
        self._worker.warm_up(self._options.output)

    async def close(self) -> None:
        """Answer what was admitted, then end the threads."""
        await asyncio.to_thread(self._worker.close)
        self._tokenization.close()

    async def _compute(
        self,
        inputs: Sequence[EncodingInput],
        options: InputOptions,
        output: str,
        check: Callable[[], None],
    ) -> Computed[list[NDArray[np.float32]]]:
        self._check_batch_size(len(inputs))
        with self.permits.taken(len(inputs)):
            check()
            started = time.perf_counter()
            tokenized = await self._tokenize(inputs, options)
            tokenization_seconds = time.perf_counter() - started
            job = await self._run(tokenized, output)
        return Computed(
            value=[row for row in job.rows if row is not None],
            token_counts=tuple(map(len, tokenized)),
            timings=Timings(
                tokenization=tokenization_seconds,
                queue=job.queue_seconds / len(inputs),
                inference=job.inference_seconds / len(inputs),
            ),
        )

    def _check_batch_size(self, size: int) -> None:
        limit = self._options.max_client_batch_size
        if size > limit:
            raise BatchTooLarge(
                f"batch size {size} > maximum allowed batch size {limit}; "
                "--max-client-batch-size raises it"
            )

    async def _tokenize(
        self, inputs: Sequence[EncodingInput], options: InputOptions
    ) -> list[TokenizedInput]:
        truncate = self._options.auto_truncate if options.truncate is None else options.truncate
        with _counted_as_tokenization():
            prompt = self._prompt(options.prompt_name)
            encode_options = EncodeOptions(prompt, truncate, options.direction)
            if self._is_alone(inputs):
                return self._tokenization.encode_now(inputs, encode_options)
            return await self._in_time(self._tokenization.encode(inputs, encode_options))

    async def _in_time(self, work: Coroutine[Any, Any, T]) -> T:
        """What the tokenization pool yields; a thread that never returns is not waited for."""
        limit = self._options.tokenization_timeout_seconds
        try:
            async with asyncio.timeout(limit):
                return await work
        except TimeoutError:
            raise TokenizationFailed(f"tokenizer error: took longer than {limit:g} s") from None

    def _is_alone(self, inputs: Sequence[EncodingInput]) -> bool:
        """Whether a request is short and the only one.

        Then the event loop encodes it faster than the way to the pool and back takes. In company
        the detour pays: it lets requests gather to a batch.
        """
        others = self._options.max_concurrent_requests - self.permits.free - len(inputs)
        return not others and sum(map(characters, inputs)) <= ALONE_CHARACTERS

    def _prompt(self, name: str | None) -> str | None:
        if name is None:
            return self._options.default_prompt
        return find_prompt(self._options.prompts, name)

    async def _run(self, inputs: Sequence[TokenizedInput], output: str) -> Job:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()

        def done(error: ServiceError | None) -> None:
            if answer.done():
                return  # cancelled meanwhile
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(error)

        job = Job(inputs, output, loop, done)
        self._worker.submit(job)
        try:
            await answer
        except asyncio.CancelledError:
            job.abandoned = True
            raise
        return job


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


@contextmanager
def _counted_as_tokenization() -> Iterator[None]:
    """TEI counts whatever fails in this stage under its name, whatever it is."""
    try:
        yield
    except ServiceError as error:
        error.metric_label = "tokenization"
        raise


def _with(computed: Computed[list[NDArray[np.float32]]], value: T) -> Computed[T]:
    return Computed(value, computed.token_counts, computed.timings)
