"""Admission: which requests may enter, and the token ids of their inputs.

Lives on one event loop, where permits are counted.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

from app.errors import BatchTooLarge, TokenizationFailed
from app.inference.permits import Permits, Taken
from app.inference.prompts import default_prompt, find_prompt
from app.inference.tokenizing.documents import Document
from app.inference.tokenizing.encoding_input import (
    EncodingInput,
    cost,
)
from app.inference.tokenizing.input_text import EncodeOptions
from app.inference.tokenizing.inputs_at_fault import (
    CountedAsTokenization,
    PromptLookup,
)
from app.inference.tokenizing.tokenization import Tokenization
from app.model.batch import TokenizedInput
from app.model.manifest import Manifest
from app.model.names import Side
from app.model.parts import Route
from app.model.routing import Routing
from app.options.settings import Settings
from app.records import record

T = TypeVar("T")

# Inputs up to this cost are encoded by the event loop itself: a fifth of a millisecond at most.
# Most take it less time than the way to a thread and back.
SHORT_COST = 400


@record()
class InputOptions:
    """Options for reading the inputs of a request."""

    truncate: bool | None = None  # None: as the service is configured
    direction: Side | None = None  # None: the model's own side
    prompt_name: str | None = None
    unprompted: bool = False  # without the default prompt
    promised: int = 0  # inputs that its dialect accepts in one request, if more than configured
    averages_windows: bool = False  # of what is too long, in place of truncating it


@dataclass(frozen=True, slots=True)
class AdmissionOptions:
    """The part of the model and the configuration that holds for every request."""

    prompts: dict[str, str]
    default_prompt: str | None
    auto_truncate: bool
    truncation_side: Side
    max_concurrent_requests: int  # inputs at a time, over all requests
    max_client_batch_size: int  # inputs of one request
    tokenization_timeout_seconds: float  # of one request
    routing: Routing = Routing()
    default_prompt_name: str | None = None  # chosen by the operator for inputs without one

    @classmethod
    def of(cls, settings: Settings, manifest: Manifest) -> Self:
        """Return the options of a model served with these settings.

        Raises: StartupError naming the option if its prompt does not exist.
        """
        return cls(
            prompts=manifest.prompts,
            default_prompt=default_prompt(settings, manifest),
            auto_truncate=settings.auto_truncate,
            truncation_side=manifest.truncation_side,
            max_concurrent_requests=settings.max_concurrent_requests,
            max_client_batch_size=settings.max_client_batch_size,
            tokenization_timeout_seconds=settings.run_timeout_seconds,
            routing=Routing.of(manifest),
            default_prompt_name=settings.default_prompt_name,
        )


class Admission:
    """The bounds on what comes in, and the tokenizer; methods raise ServiceError."""

    def __init__(
        self,
        options: AdmissionOptions,
        tokenization: Tokenization,
        permits: Permits | None = None,
    ) -> None:
        self._options = options
        self._tokenization = tokenization
        self.permits = permits or Permits(options.max_concurrent_requests)
        # True if the model has several routes, so that an input takes one of them.
        self.has_routes = bool(options.routing.routes)

    def within(self, granted: int) -> Self:
        """Return the same bounds for parts of a request that already holds `granted` permits."""
        return type(self)(self._options, self._tokenization, Permits(granted))

    def admitted(self, size: int, promised: int = 0) -> Taken:
        """Return a block that holds the permits of a request of `size` inputs.

        Its dialect accepts at least `promised` inputs. Entering the block tells how many may be
        computed at a time.

        Raises: BatchTooLarge; Overloaded when the block is entered.
        """
        self.require_size(size, promised)
        return self.permits.taken(size, bulk=promised > 0)

    def require_size(self, size: int, promised: int = 0) -> None:
        """Raise BatchTooLarge if one request may not have `size` inputs."""
        limit = self.most(promised)
        if size > limit:
            raise BatchTooLarge(
                f"batch size {size} > maximum allowed batch size {limit}; "
                "--max-client-batch-size raises it"
            )

    def most(self, promised: int) -> int:
        """Return how many inputs one request may have, of a dialect that accepts `promised`."""
        return max(self._options.max_client_batch_size, promised)

    def route(self, options: InputOptions) -> Route | None:
        """Return the route of a request's inputs, or None if the model has only one.

        Raises: InvalidInput if the request has to name one.
        """
        if not self.has_routes:
            return None
        name = options.prompt_name
        if name is None:
            name = self._options.default_prompt_name
        return self.named_route(name)

    def named_route(self, name: str | None) -> Route | None:
        """Return the route that a prompt's name chooses, or None if the model has only one.

        Raises: InvalidInput if a name is needed.
        """
        with CountedAsTokenization():
            return self._options.routing.route(name)

    async def encode(
        self, inputs: Sequence[EncodingInput], options: InputOptions
    ) -> list[TokenizedInput]:
        """Return the token ids of each input of an admitted request."""
        with CountedAsTokenization():
            encode_options = self._encode_options(inputs, options)
            if sum(map(cost, inputs)) <= SHORT_COST:
                return self._tokenization.encode_now(inputs, encode_options)
            return await self.in_time(self._tokenization.encode(inputs, encode_options))

    async def documents(
        self, inputs: Sequence[EncodingInput], options: InputOptions
    ) -> list[Document]:
        """Return the tokens of each input of an admitted request, never truncated.

        Raises: BatchTooLarge for one that takes more windows than a request may have inputs.
        """
        most = self.most(options.promised)
        with CountedAsTokenization():
            whole = replace(self._encode_options(inputs, options), truncate=False, windows=most)
            return await self.in_time(self._tokenization.documents(inputs, whole))

    def length(self, options: InputOptions) -> int:
        """Return how many tokens the model takes at a time."""
        route = self.route(options)
        return self._tokenization.max_length if route is None else route.max_input_length

    async def encode_anyway(self, text: str) -> list[TokenizedInput]:
        """Return the token ids of one text, subject to no bound but the timeout."""
        options = EncodeOptions(route=self._options.routing.primary)
        item: EncodingInput = (text, text) if self._tokenization.reads_pairs_only else text
        return await self.in_time(self._tokenization.encode([item], options))

    def prompt(self, name: str | None) -> str | None:
        """Return the text to put before inputs for a prompt's name, or the default one for None.

        Raises: InvalidInput if there is no such prompt.
        """
        if name is None:
            return self._options.default_prompt
        if self._options.routing.knows(name):
            found = self._options.routing.prompt(name)
            return self._options.default_prompt if found is None else found
        return find_prompt(self._options.prompts, name)

    async def in_time(self, work: Awaitable[T]) -> T:
        """Await work of the tokenizer's threads, up to the timeout.

        Raises: TokenizationFailed when it takes longer.
        """
        limit = self._options.tokenization_timeout_seconds
        try:
            async with asyncio.timeout(limit):
                return await work
        except TimeoutError:
            raise TokenizationFailed(f"tokenizer error: took longer than {limit:g} s") from None

    def _encode_options(
        self, inputs: Sequence[EncodingInput], options: InputOptions
    ) -> EncodeOptions:
        prompt, route = self._options.default_prompt, None
        if options.prompt_name is not None or self.has_routes:
            with PromptLookup(inputs):
                prompt, route = self.prompt(options.prompt_name), self.route(options)
        if options.unprompted:
            prompt = None
        truncate = self._options.auto_truncate if options.truncate is None else options.truncate
        direction = options.direction or self._options.truncation_side
        return EncodeOptions(prompt, truncate, direction, route)
