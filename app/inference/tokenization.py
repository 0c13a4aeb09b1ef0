"""Tokenization: texts to token ids, on a pool of threads over tokenizers that never change.

`tokenizers` keeps truncation as state of the tokenizer, shared by all threads, so there is one
tokenizer for each way of truncating, configured once at load (huggingface/tokenizers#537).
Rules follow TEI 1.9.3 core/src/tokenization.rs.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Self, TypeVar

import numpy as np
from tokenizers import Encoding, Tokenizer

from app.errors import EmptyInput, InvalidInput, ServiceError, StartupError, TokenizationFailed
from app.inference.batch import TokenizedInput
from app.inference.manifest import TOKENIZER_FILE, Manifest

T = TypeVar("T")
Direction = Literal["left", "right"]
EncodingInput = str | tuple[int, ...]  # a text, or token ids of this model's vocabulary

# TEI's bound on a text: this many characters for each token that the model can take.
CHARACTERS_PER_TOKEN = 250


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How to turn inputs into ids: what to put before them, and what to do when too long."""

    prompt: str | None = None
    truncate: bool = True
    direction: Direction = "right"


DEFAULT_OPTIONS = EncodeOptions()


class Tokenization:
    """Encodes inputs; every method but `encode` may be called from any thread."""

    def __init__(
        self, tokenizers: dict[Direction | None, Tokenizer], max_length: int, workers: int
    ) -> None:
        self._tokenizers = tokenizers
        self._max_length = max_length
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="tokenize")

    @classmethod
    def load(
        cls, folder: Path, manifest: Manifest, workers: int = 1, max_length: int | None = None
    ) -> Self:
        """Load `tokenizer.json` three times: without truncation, and with it on either side.

        `max_length` is in tokens, and the manifest's unless given.

        Raises: StartupError when the file is not a tokenizer, or not the model's.
        """
        path = folder / TOKENIZER_FILE
        max_length = max_length or manifest.max_input_length
        tokenizers: dict[Direction | None, Tokenizer] = {}
        for direction in (None, "left", "right"):
            try:
                tokenizer = Tokenizer.from_file(str(path))
            except Exception as error:  # noqa: BLE001  # the library raises bare Exception
                raise StartupError(f"{path} cannot be loaded: {error}") from None
            tokenizer.no_padding()
            tokenizer.no_truncation()
            if direction is not None:
                tokenizer.enable_truncation(max_length, direction=direction)
            tokenizers[direction] = tokenizer
        size = tokenizers[None].get_vocab_size()
        if size > manifest.vocabulary_size:
            raise StartupError(
                f"{path} has {size} tokens, the model only {manifest.vocabulary_size}: "
                "they do not belong together"
            )
        return cls(tokenizers, max_length, workers)

    async def encode(
        self, inputs: Sequence[EncodingInput], options: EncodeOptions
    ) -> list[TokenizedInput]:
        """`encode_now` on the pool; called on the event loop.

        Raises: ServiceError of the lowest-index input that cannot be encoded.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self.encode_now, inputs, options)

    def encode_now(
        self, inputs: Sequence[EncodingInput], options: EncodeOptions = DEFAULT_OPTIONS
    ) -> list[TokenizedInput]:
        """Token ids of each input, special tokens included.

        Raises: ServiceError of the lowest-index input that cannot be encoded.
        """
        texts: list[_Text] = []
        fault: ServiceError | None = None
        for item in inputs:
            try:
                texts.append(self._text(item, options))
            except ServiceError as error:
                fault = error  # a text before this one may still turn out to be too long
                break
        tokenizer = self._tokenizers[options.direction if options.truncate else None]
        tokenized = [self._check(encoding) for encoding in _encode(tokenizer, texts)]
        if fault is not None:
            raise fault
        return tokenized

    def close(self) -> None:
        """Stop the pool; encodings not yet started are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _text(self, item: EncodingInput, options: EncodeOptions) -> "_Text":
        """What the tokenizer is given for an input: ids go back to text first, as in TEI."""
        if not item:
            raise EmptyInput("Input validation error: `inputs` cannot be empty")
        item = self._bounded(item, options)
        if isinstance(item, str):
            return _Text((options.prompt or "") + item, add_special_tokens=True)
        skip_special = options.prompt is not None
        decoder = self._tokenizers[None]
        decoded = _guarded(lambda: decoder.decode(item, skip_special_tokens=skip_special))
        return _Text((options.prompt or "") + decoded, add_special_tokens=skip_special)

    def _bounded(self, item: EncodingInput, options: EncodeOptions) -> EncodingInput:
        """Cut an input that is too long to matter, since tokenizers encode before they truncate."""
        limit = CHARACTERS_PER_TOKEN * self._max_length
        if len(item) <= limit:
            return item
        if not options.truncate:
            raise InvalidInput(
                f"Input validation error: `inputs` must have less than {limit} characters. "
                f"Given: {len(item)}"
            )
        return item[:limit] if options.direction == "right" else item[-limit:]

    def _check(self, encoding: Encoding) -> TokenizedInput:
        ids = encoding.ids
        if not ids:
            raise InvalidInput("Input validation error: `inputs` has no tokens")
        if len(ids) > self._max_length:
            raise InvalidInput(
                f"Input validation error: `inputs` must have less than {self._max_length} tokens. "
                f"Given: {len(ids)}"
            )
        return TokenizedInput(np.array(ids, np.int64))


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    add_special_tokens: bool


def _encode(tokenizer: Tokenizer, texts: Sequence[_Text]) -> list[Encoding]:
    """Encode in one call for each way of adding special tokens; nearly always that is one."""
    encodings: dict[int, Encoding] = {}
    for special in (True, False):
        places = [i for i, text in enumerate(texts) if text.add_special_tokens is special]
        if places:
            batch = [texts[i].text for i in places]
            encode = partial(tokenizer.encode_batch_fast, batch, add_special_tokens=special)
            encodings.update(zip(places, _guarded(encode), strict=True))
    return [encodings[i] for i in range(len(texts))]


def _guarded(call: Callable[[], T]) -> T:
    try:
        return call()
    except BaseException as error:  # a panic in Rust is no Exception
        raise TokenizationFailed(f"tokenizer error {error}") from error
