"""Input text: what the tokenizer is given for an input, with its prompt, and of bounded length.

Rules follow TEI 1.9.3 core/src/tokenization.rs.
"""

from collections.abc import Callable, Sequence
from typing import cast

from app.errors import InvalidInput
from app.inference.tokenizing.encoding_input import (
    EncodingInput,
    characters,
    is_pair,
    kept_end,
    require_content,
)
from app.model.names import Side
from app.model.pair_text import PairText
from app.model.parts import Route
from app.records import record

# TEI's bound on a text: this many characters for each token that the model can take.
CHARACTERS_PER_TOKEN = 250


@record()
class EncodeOptions:
    """Options for turning inputs into ids: the prompt to prepend, and the truncation."""

    prompt: str | None = None
    truncate: bool = True
    direction: Side = "right"
    route: Route | None = None  # through the model, if it has several
    windows: int = 1  # of the model's length, that an input may take

    @property
    def special_tokens(self) -> bool:
        """True if the tokenizer adds its special tokens around a text."""
        return self.route is None or self.route.special_tokens


DEFAULT_OPTIONS = EncodeOptions()


@record()
class Text:
    """A text or a pair, and whether the tokenizer adds its special tokens around it."""

    text: str | tuple[str, str]
    add_special_tokens: bool
    is_cut: bool = False  # some of the input is too far on to matter, and left out already


class InputText:
    """Makes texts of the inputs of one model; may be called from any thread."""

    def __init__(
        self,
        max_length: int,
        pair_text: PairText | None,
        decode: Callable[[Sequence[int], bool], str],
    ) -> None:
        """Keep `decode`, which makes a text of ids, with or without special tokens."""
        self._max_length = max_length  # in tokens
        self._pair_text = pair_text
        self._decode = decode

    def length(self, options: EncodeOptions) -> int:
        """Return how many tokens an input may have."""
        return self._max_length if options.route is None else options.route.max_input_length

    def longest(self, options: EncodeOptions) -> int:
        """Return how many characters of an input may matter."""
        return CHARACTERS_PER_TOKEN * self.length(options) * options.windows

    def of(self, item: EncodingInput, options: EncodeOptions) -> Text:
        """Return what the tokenizer is given for an input; ids go back to text first, as in TEI.

        Raises: EmptyInput, or InvalidInput for an input of the wrong kind or beyond any limit.
        """
        whole, item = item, self._bounded(item, options)
        is_cut = item is not whole
        prompt = options.prompt or ""
        if self._pair_text is not None and not is_pair(item):
            raise InvalidInput(
                "Input validation error: `inputs` must be pairs of texts, a query and a document"
            )
        if isinstance(item, str):
            return Text(prompt + item, options.special_tokens, is_cut)
        if is_pair(item):
            if options.prompt is not None:
                raise InvalidInput(
                    "Input validation error: `prompt_name` cannot be set with dual inputs"
                )
            if self._pair_text is not None:
                return Text(self._pair_text.text(*item), False, is_cut)
            return Text(item, options.special_tokens, is_cut)
        skip_special = options.prompt is not None or not options.special_tokens
        decoded = self._decode(cast("tuple[int, ...]", item), skip_special)
        if options.truncate:
            is_cut |= len(decoded) > self.longest(options)
            decoded = kept_end(decoded, self.longest(options), options.direction)
        return Text(prompt + decoded, skip_special and options.special_tokens, is_cut)

    def _bounded(self, item: EncodingInput, options: EncodeOptions) -> EncodingInput:
        """Cut an input that is too long to matter, since tokenizers encode before they truncate."""
        limit = self.longest(options)
        size = characters(item)
        if 0 < size <= limit:
            return item
        require_content(item)
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
