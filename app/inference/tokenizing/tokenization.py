"""Tokenization: texts to token ids, in slices on threads, by tokenizers that never change.

`tokenizers` keeps truncation as state of the tokenizer, shared by all threads, so there is one
tokenizer for each way of truncating, configured once at load (huggingface/tokenizers#537).
Rules follow TEI 1.9.3 core/src/tokenization.rs.
"""

import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Self, TypeVar, cast, get_args

import numpy as np
from tokenizers import Encoding, Tokenizer

from app.errors import InvalidInput, ServiceError, StartupError, TokenizationFailed
from app.inference.tokenizing import pairs
from app.inference.tokenizing.encoding_input import (
    EncodingInput,
    characters,
    cost,
    is_pair,
    kept_end,
    require_content,
)
from app.inference.tokenizing.inputs_at_fault import raise_first
from app.inference.tokenizing.token_places import Token, located
from app.inference.tokenizing.tokenizer_file import open_tokenizer
from app.inference.tokenizing.turns import Turns, sliced
from app.model.batch import TokenizedInput
from app.model.manifest import TOKENIZER_FILE, Manifest
from app.model.names import Side
from app.model.pair_text import PairText
from app.model.parts import Route

T = TypeVar("T")
_SIDES: tuple[Side, ...] = get_args(Side)
# TEI's bound on a text: this many characters for each token that the model can take.
CHARACTERS_PER_TOKEN = 250
# A slice of a request, behind which others have their turn: inputs, and characters of all of them,
# unless a single text has more. 8,192 take 5 to 10 milliseconds, and 100 at the worst.
ENCODED_AT_ONCE = 64
SLICE_CHARACTERS = 8_192


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How to turn inputs into ids: what to put before them, and what to do when too long."""

    prompt: str | None = None
    truncate: bool = True
    direction: Side = "right"
    route: Route | None = None  # through the model, where it has several

    @property
    def special_tokens(self) -> bool:
        """Whether the tokenizer puts its own tokens around a text."""
        return self.route is None or self.route.special_tokens


DEFAULT_OPTIONS = EncodeOptions()


class Tokenization:
    """Encodes inputs; every method but `encode` may be called from any thread."""

    def __init__(
        self,
        tokenizers: dict[Side | None, Tokenizer],
        max_length: int,
        workers: int,
        *,
        leaves_out_prompts: bool = False,
        of_routes: Mapping[tuple[Side, int], Tokenizer] = MappingProxyType({}),
        pair_text: PairText | None = None,
    ) -> None:
        self._tokenizers = tokenizers
        self._of_routes = of_routes  # those that cut at another length, by side and length
        self._leaves_out_prompts = leaves_out_prompts
        self._pair_text = pair_text
        self._prompt_lengths: dict[str, int] = {}  # prompts are the model's or the operator's: few
        self.max_length = max_length  # in tokens
        self.turns = Turns(workers, "tokenize")

    @classmethod
    def load(
        cls, folder: Path, manifest: Manifest, workers: int = 1, max_length: int | None = None
    ) -> Self:
        """Load `tokenizer.json` three times: without truncation, and with it on either side.

        Twice more for each other length of a route.

        `max_length` is in tokens, and the manifest's unless given.

        Raises: StartupError when the file is not a tokenizer, or not the model's.
        """
        path = folder / TOKENIZER_FILE
        max_length = max_length or manifest.max_input_length
        tokenizers: dict[Side | None, Tokenizer] = {
            None: open_tokenizer(path),
            **{side: open_tokenizer(path, side, max_length) for side in _SIDES},
        }
        lengths = {route.max_input_length for route in manifest.routes} - {max_length}
        of_routes = {
            (side, length): open_tokenizer(path, side, length)
            for side in _SIDES
            for length in lengths
        }
        size = tokenizers[None].get_vocab_size()
        if size > manifest.vocabulary_size:
            raise StartupError(
                f"{path} has {size} tokens, the model only {manifest.vocabulary_size}: "
                "they do not belong together"
            )
        return cls(
            tokenizers,
            max_length,
            workers,
            leaves_out_prompts=manifest.leaves_out_prompts,
            of_routes=of_routes,
            pair_text=manifest.pair_text,
        )

    async def encode(
        self, inputs: Sequence[EncodingInput], options: EncodeOptions
    ) -> list[TokenizedInput]:
        """`encode_now` in slices, between which others have their turn; called on the event loop.

        Raises: ServiceError of the lowest-index input that cannot be encoded.
        """
        tokenized: list[TokenizedInput] = []
        faults: list[ServiceError] = []
        longest = CHARACTERS_PER_TOKEN * self._length(options)
        async for found in self.in_slices(
            inputs, lambda some: _tried(lambda: self.encode_now(some, options)), longest
        ):
            if isinstance(found, ServiceError):
                faults.append(found)
            else:
                tokenized += found
            del found
        raise_first(faults)
        return tokenized

    async def in_slices(
        self,
        items: Sequence[EncodingInput],
        call: Callable[[Sequence[EncodingInput]], T],
        longest: int = sys.maxsize,
    ) -> AsyncGenerator[T, None]:
        """What a call makes of each slice of some items, on a thread; called on the event loop.

        The next one is not begun before it is asked for. Of an item `longest` characters count.
        """
        sizes = [min(cost(item), longest) for item in items]
        left = sum(sizes)
        for start, stop in sliced(sizes, SLICE_CHARACTERS, ENCODED_AT_ONCE):
            size = sum(sizes[start:stop])
            slice_call = partial(call, items[start:stop])
            yield await self.turns.run(slice_call, left=left, is_small=size <= SLICE_CHARACTERS)
            left -= size

    def encode_now(
        self, inputs: Sequence[EncodingInput], options: EncodeOptions = DEFAULT_OPTIONS
    ) -> list[TokenizedInput]:
        """Token ids of each input, special tokens included.

        Raises: ServiceError of the lowest-index input that cannot be encoded, for all that cannot.
        """
        texts: dict[int, _Text] = {}
        faults: dict[int, ServiceError] = {}  # a text before the first may yet prove too long
        for place, item in enumerate(inputs):
            try:
                texts[place] = self._text(self._bounded(item, options), options)
            except ServiceError as error:
                faults[place] = error
        prompt_length = self._prompt_length(options.prompt)
        length = self._length(options)
        tokenized: list[TokenizedInput] = []
        encodings = self._encodings(list(texts.values()), options)
        for place, encoding in zip(texts, encodings, strict=True):
            try:
                tokenized.append(self._check(encoding, prompt_length, length))
            except ServiceError as error:
                faults[place] = error
        raise_first([faults.pop(place) for place in sorted(faults)])
        return tokenized

    def close(self) -> None:
        """Stop the threads; slices not yet begun are dropped."""
        self.turns.close()

    def whole_text(self, text: str, prompt: str | None) -> str:
        """What `tokens_now` takes for a text.

        Raises: EmptyInput, or InvalidInput for more characters than the model could ever take.
        """
        untruncated = EncodeOptions(prompt, truncate=False)
        whole = self._text(self._bounded(text, untruncated), untruncated).text
        assert isinstance(whole, str)
        return whole

    def tokens_now(self, whole: str, *, add_special_tokens: bool) -> Iterator[Token]:
        """Every token of a text with its prompt, never truncated.

        Raises: TokenizationFailed.
        """
        tokenizer = self._tokenizers[None]
        # Only the call for a batch lets other threads run meanwhile.
        [encoding] = _guarded(
            lambda: tokenizer.encode_batch([whole], add_special_tokens=add_special_tokens)
        )
        return located(encoding, whole)

    def decode_now(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """The text of token ids, of which there is one at least; unknown ones are skipped."""
        return self._decoded(ids, skip_special_tokens)

    @property
    def reads_pairs_only(self) -> bool:
        """Whether every input must be a query and a document."""
        return self._pair_text is not None

    def _encodings(self, texts: "Sequence[_Text]", options: EncodeOptions) -> list[Encoding]:
        """An encoding of each text, cut as asked for."""
        length = self._length(options)
        apart: dict[int, Encoding] = {}
        for place, one in enumerate(texts):
            text = one.text
            if not options.truncate or isinstance(text, str):
                continue
            if pairs.may_have_many_parts(text, length):
                whole, special = self._tokenizers[None], one.add_special_tokens
                encode = partial(pairs.encode, whole, text, length, options.direction)
                apart[place] = _guarded(partial(encode, special_tokens=special))
        rest = [one for place, one in enumerate(texts) if place not in apart]
        encoded = iter(encode_batch(self._tokenizer(options), rest))
        return [apart[place] if place in apart else next(encoded) for place in range(len(texts))]

    def _length(self, options: EncodeOptions) -> int:
        """Tokens that an input may have."""
        return self.max_length if options.route is None else options.route.max_input_length

    def _tokenizer(self, options: EncodeOptions) -> Tokenizer:
        if not options.truncate:
            return self._tokenizers[None]
        key = options.direction, self._length(options)
        return self._of_routes.get(key) or self._tokenizers[options.direction]

    def _text(self, item: EncodingInput, options: EncodeOptions) -> "_Text":
        """What the tokenizer is given for an input: ids go back to text first, as in TEI."""
        prompt = options.prompt or ""
        if self._pair_text is not None and not is_pair(item):
            raise InvalidInput(
                "Input validation error: `inputs` must be pairs of texts, a query and a document"
            )
        if isinstance(item, str):
            return _Text(prompt + item, add_special_tokens=options.special_tokens)
        if is_pair(item):
            if options.prompt is not None:
                raise InvalidInput(
                    "Input validation error: `prompt_name` cannot be set with dual inputs"
                )
            if self._pair_text is not None:
                return _Text(self._pair_text.text(*item), add_special_tokens=False)
            return _Text(item, add_special_tokens=options.special_tokens)
        skip_special = options.prompt is not None or not options.special_tokens
        decoded = self._decoded(cast("tuple[int, ...]", item), skip_special)
        if options.truncate:
            decoded = kept_end(
                decoded, CHARACTERS_PER_TOKEN * self._length(options), options.direction
            )
        return _Text(prompt + decoded, skip_special and options.special_tokens)

    def _decoded(self, ids: Sequence[int], skip_special_tokens: bool) -> str:
        decoder = self._tokenizers[None]
        # Only the call for a batch lets other threads run meanwhile.
        [text] = _guarded(
            lambda: decoder.decode_batch([ids], skip_special_tokens=skip_special_tokens)
        )
        return str(text)

    def _bounded(self, item: EncodingInput, options: EncodeOptions) -> EncodingInput:
        """Cut an input that is too long to matter, since tokenizers encode before they truncate."""
        limit = CHARACTERS_PER_TOKEN * self._length(options)
        require_content(item)
        size = characters(item)
        if size <= limit:
            return item
        if not options.truncate:
            raise InvalidInput(
                f"Input validation error: `inputs` must have less than {limit} characters. "
                f"Given: {size}"
            )
        if is_pair(item):
            left, right = item
            half = limit // 2
            return kept_end(left, half, options.direction), kept_end(right, half, options.direction)
        if isinstance(item, str):
            return kept_end(item, limit, options.direction)
        ids = cast("tuple[int, ...]", item)
        return ids[:limit] if options.direction == "right" else ids[-limit:]

    def _prompt_length(self, prompt: str | None) -> int:
        """How many tokens at the start of an input are its prompt's, if those are not pooled.

        By sentence-transformers' rule: as many as it has by itself, the special ones before it
        among them, and a special one behind it not.
        """
        if not prompt or not self._leaves_out_prompts:
            return 0
        if prompt not in self._prompt_lengths:
            tokenizer = self._tokenizers["right"]
            [encoding] = _guarded(lambda: tokenizer.encode_batch_fast([prompt]))
            ids = encoding.ids
            added = tokenizer.get_added_tokens_decoder()
            ends = bool(ids) and ids[-1] in added and added[ids[-1]].special
            self._prompt_lengths[prompt] = len(ids) - ends
        return self._prompt_lengths[prompt]

    def _check(self, encoding: Encoding, prompt_length: int, length: int) -> TokenizedInput:
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
        types = np.array(encoding.type_ids, np.int64)
        return TokenizedInput(
            np.array(ids, np.int64), types if types.any() else None, prompt_length
        )


@dataclass(frozen=True, slots=True)
class _Text:
    text: str | tuple[str, str]
    add_special_tokens: bool


def encode_batch(tokenizer: Tokenizer, texts: Sequence[_Text]) -> list[Encoding]:
    """Encode in one call for each way of adding special tokens; nearly always that is one."""
    encodings: dict[int, Encoding] = {}
    for special in (True, False):
        places = [i for i, text in enumerate(texts) if text.add_special_tokens is special]
        if places:
            batch = [texts[i].text for i in places]
            encode = partial(tokenizer.encode_batch_fast, batch, add_special_tokens=special)
            encodings.update(zip(places, _guarded(encode), strict=True))
    return [encodings[i] for i in range(len(texts))]


def _tried(call: Callable[[], T]) -> T | ServiceError:
    try:
        return call()
    except ServiceError as error:
        return error


def _guarded(call: Callable[[], T]) -> T:
    try:
        return call()
    except BaseException as error:  # a panic in Rust is no Exception
        raise TokenizationFailed(f"tokenizer error {error}") from error
