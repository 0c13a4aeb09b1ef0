"""Tokenization: texts to token ids, in slices on threads.

Rules follow TEI 1.9.3 core/src/tokenization.rs.
"""

import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from functools import partial
from math import ceil
from pathlib import Path
from typing import Self, TypeVar

import numpy as np

from app.errors import InvalidInput, ServiceError
from app.inference.tokenizing import encodings
from app.inference.tokenizing.documents import Document, document, require_windows
from app.inference.tokenizing.encoding_input import EncodingInput, cost
from app.inference.tokenizing.encodings import Encoded
from app.inference.tokenizing.input_text import DEFAULT_OPTIONS, EncodeOptions, InputText, Text
from app.inference.tokenizing.inputs_at_fault import each, raise_first, tried
from app.inference.tokenizing.slice_scheduler import SliceScheduler, sliced
from app.inference.tokenizing.token_places import Token, located
from app.inference.tokenizing.tokenizer_set import TokenizerSet, guarded
from app.model.batch import TokenizedInput
from app.model.manifest import Manifest
from app.model.pair_text import PairText

T = TypeVar("T")
# The most inputs, and characters of all of them, in one slice of a request, after which others have
# a turn; a longer text is a slice by itself. 8,192 take 5 to 10 ms, and 100 at worst.
ENCODED_AT_ONCE = 64
SLICE_CHARACTERS = 8_192


class Tokenization:
    """Encodes inputs; every method but `encode` and `in_slices` may be called from any thread."""

    def __init__(
        self,
        tokenizers: TokenizerSet,
        max_length: int,
        scheduler: SliceScheduler,
        *,
        leaves_out_prompts: bool = False,
        pair_text: PairText | None = None,
    ) -> None:
        self.tokenizers = tokenizers
        self.max_length = max_length  # in tokens
        self.scheduler = scheduler
        self._leaves_out_prompts = leaves_out_prompts
        self._pair_text = pair_text
        self._texts = InputText(
            max_length,
            pair_text,
            lambda ids, skip: tokenizers.decoded(ids, skip_special_tokens=skip),
        )

    @classmethod
    def load(
        cls,
        folder: Path,
        manifest: Manifest,
        scheduler: SliceScheduler | None = None,
        max_length: int | None = None,
    ) -> Self:
        """Load the tokenizers, to run on these threads or on one of their own.

        `max_length` is in tokens, by default the manifest's.

        Raises: StartupError when the file is not a tokenizer, or not the model's.
        """
        length = max_length or manifest.max_input_length
        return cls(
            TokenizerSet.load(folder, manifest, length),
            length,
            scheduler or SliceScheduler(1, "tokenize"),
            leaves_out_prompts=manifest.leaves_out_prompts,
            pair_text=manifest.pair_text,
        )

    async def encode(
        self, inputs: Sequence[EncodingInput], options: EncodeOptions
    ) -> list[TokenizedInput]:
        """Run `encode_now` in slices, with turns for others in between; call on the event loop.

        Raises: ServiceError of the lowest-index input that cannot be encoded.
        """
        return await self._gathered(inputs, lambda some: self.encode_now(some, options), options)

    async def documents(
        self, inputs: Sequence[EncodingInput], options: EncodeOptions
    ) -> list[Document]:
        """Run `documents_now` as `encode` runs `encode_now`; call on the event loop.

        Raises: ServiceError of the lowest-index input that cannot be encoded.
        """
        return await self._gathered(
            inputs, lambda some: each(lambda one: self.document_now(one, options), some), options
        )

    async def in_slices(
        self,
        items: Sequence[EncodingInput],
        call: Callable[[Sequence[EncodingInput]], T],
        longest: int = sys.maxsize,
    ) -> AsyncGenerator[T, None]:
        """Yield the result of a call for each slice of items, on a thread; call on the event loop.

        A slice begins only when it is asked for. An item counts as `longest` characters at most.
        """
        sizes = [min(cost(item), longest) for item in items]
        left = sum(sizes)
        for start, stop in sliced(sizes, SLICE_CHARACTERS, ENCODED_AT_ONCE):
            size = sum(sizes[start:stop])
            slice_call = partial(call, items[start:stop])
            yield await self.scheduler.run(slice_call, left=left, is_small=size <= SLICE_CHARACTERS)
            left -= size

    def encode_now(
        self, inputs: Sequence[EncodingInput], options: EncodeOptions = DEFAULT_OPTIONS
    ) -> list[TokenizedInput]:
        """Return the token ids of each input, special tokens included.

        Raises: ServiceError of the lowest-index input that cannot be encoded, for all that cannot.
        """
        texts: dict[int, Text] = {}
        faults: dict[int, ServiceError] = {}  # a text before the first one may yet prove too long
        for place, item in enumerate(inputs):
            try:
                texts[place] = self._texts.of(item, options)
            except ServiceError as error:
                faults[place] = error
        prompt_length = self._prompt_length(options.prompt)
        length = self._texts.length(options)
        tokenized: list[TokenizedInput] = []
        encoded = encodings.encode(self.tokenizers, list(texts.values()), options, length)
        for place, one in zip(texts, encoded, strict=True):
            try:
                tokenized.append(self._check(one, prompt_length, length))
            except ServiceError as error:
                faults[place] = error
        if faults:
            raise_first([faults.pop(place) for place in sorted(faults)])
        return tokenized

    def document_now(self, item: EncodingInput, options: EncodeOptions) -> Document:
        """Return an input that may take several windows as tokens, with their places.

        Raises: ServiceError, also for token ids that take more than one: those are cut nowhere.
        """
        one = self._texts.of(item, options)
        tokenizer, special = self.tokenizers.whole, one.add_special_tokens
        # Only the batch call releases the GIL.
        [encoding] = guarded(lambda: tokenizer.encode_batch([one.text], add_special_tokens=special))
        size, length = len(encoding), self._texts.length(options)
        if not size:
            raise InvalidInput("Input validation error: `inputs` has no tokens")
        if size > length and not isinstance(item, str):
            raise InvalidInput(
                f"Input validation error: `inputs` must have less than {length} tokens where it is "
                f"token ids, since only texts are divided into windows. Given: {size}"
            )
        require_windows(ceil(size / length), length, options.windows)
        prompt = options.prompt or ""
        return document(encoding, prompt, self._prompt_length(options.prompt))

    def close(self) -> None:
        """Stop the threads, and drop slices that have not begun."""
        self.scheduler.close()

    def whole_text(self, text: str, prompt: str | None) -> str:
        """Return the text that `tokens_now` takes: with its prompt, and checked.

        Raises: EmptyInput, or InvalidInput for more characters than the model could ever take.
        """
        untruncated = EncodeOptions(prompt, truncate=False)
        whole = self._texts.of(text, untruncated).text
        assert isinstance(whole, str)
        return whole

    def tokens_now(self, whole: str, *, add_special_tokens: bool) -> Iterator[Token]:
        """Return every token of a text with its prompt, never truncated.

        Raises: TokenizationFailed.
        """
        tokenizer = self.tokenizers.whole
        # Only the batch call releases the GIL.
        [encoding] = guarded(
            lambda: tokenizer.encode_batch([whole], add_special_tokens=add_special_tokens)
        )
        return located(encoding, whole)

    def decode_now(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Return the text of at least one token id; unknown ids are skipped."""
        return self.tokenizers.decoded(ids, skip_special_tokens=skip_special_tokens)

    @property
    def reads_pairs_only(self) -> bool:
        """True if every input must be a query and a document."""
        return self._pair_text is not None

    async def _gathered(
        self,
        inputs: Sequence[EncodingInput],
        call: Callable[[Sequence[EncodingInput]], list[T]],
        options: EncodeOptions,
    ) -> list[T]:
        """Return the results of a call for every slice of the inputs, or raise the first error."""
        gathered: list[T] = []
        faults: list[ServiceError] = []
        longest = self._texts.longest(options)
        async for found in self.in_slices(inputs, lambda some: tried(lambda: call(some)), longest):
            if isinstance(found, ServiceError):
                faults.append(found)
            else:
                gathered += found
            del found
        raise_first(faults)
        return gathered

    def _prompt_length(self, prompt: str | None) -> int:
        """Return how many leading tokens of an input are its prompt's, if those are not pooled."""
        if not prompt or not self._leaves_out_prompts:
            return 0
        return self.tokenizers.prompt_length(prompt, self.max_length)

    def _check(self, encoded: Encoded, prompt_length: int, length: int) -> TokenizedInput:
        encoding, is_cut = encoded
        ids = encoding.ids
        if not ids:
            raise InvalidInput("Input validation error: `inputs` has no tokens")
        if len(ids) > length:
            raise InvalidInput(
                f"Input validation error: `inputs` must have less than {length} tokens. "
                f"Given: {len(ids)}"
            )
        if prompt_length >= len(ids):
            raise InvalidInput(
                f"Input validation error: the prompt takes all {len(ids)} tokens that the model "
                "has, and leaves none of `inputs`"
            )
        if self._pair_text is not None:
            ids = self._pair_text.ended(ids, length)
        types = np.array(encoding.type_ids, np.int64) if any(encoding.type_ids) else None
        return TokenizedInput(np.array(ids, np.int64), types, prompt_length, is_cut)
