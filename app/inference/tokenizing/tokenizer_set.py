"""Tokenizer set: one tokenizer for each way of truncating, none of which ever changes.

`tokenizers` keeps truncation as state of the tokenizer, shared by all threads
(huggingface/tokenizers#537), so each is configured once, at load. Of its methods that encode and
decode, only the batch ones release the GIL.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar, get_args

from tokenizers import Tokenizer

from app.errors import StartupError, TokenizationFailed
from app.model import untrusted
from app.model.manifest import TOKENIZER_FILE, Manifest
from app.model.names import Side

T = TypeVar("T")
_SIDES: tuple[Side, ...] = get_args(Side)


class TokenizerSet:
    """The tokenizers of one model; every method may be called from any thread."""

    def __init__(self, whole: Tokenizer, cutting: Mapping[tuple[Side, int], Tokenizer]) -> None:
        self.whole = whole  # never truncates
        self._cutting = cutting  # by the side that is cut and the remaining length
        self._prompt_lengths: dict[str, int] = {}  # few: prompts are the model's or the operator's

    @classmethod
    def load(cls, folder: Path, manifest: Manifest, max_length: int) -> Self:
        """Load `tokenizer.json` once without truncation, and twice for each length of a route.

        Raises: StartupError when the file is not a tokenizer, or not the model's.
        """
        path = folder / TOKENIZER_FILE
        whole = _opened(path)
        size = whole.get_vocab_size()
        if size > manifest.vocabulary_size:
            raise StartupError(
                f"{path} has {size} tokens, the model only {manifest.vocabulary_size}: "
                "they do not belong together"
            )
        lengths = {max_length, *(route.max_input_length for route in manifest.routes)}
        cutting = {
            (side, length): _opened(path, side, length) for side in _SIDES for length in lengths
        }
        return cls(whole, cutting)

    def cutting(self, side: Side, length: int) -> Tokenizer:
        """Return the tokenizer that truncates to `length` tokens on a side."""
        return self._cutting[side, length]

    def decoded(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Return the text of token ids; unknown ids are skipped.

        Raises: TokenizationFailed.
        """
        [text] = guarded(
            lambda: self.whole.decode_batch([ids], skip_special_tokens=skip_special_tokens)
        )
        return str(text)

    def prompt_length(self, prompt: str, length: int) -> int:
        """Return how many leading tokens of an input are its prompt's, cut to `length`.

        Follows sentence-transformers: the tokens of the prompt by itself, without a special one at
        its end.
        """
        if prompt not in self._prompt_lengths:
            tokenizer = self._cutting["right", length]
            [encoding] = guarded(lambda: tokenizer.encode_batch_fast([prompt]))
            ids = encoding.ids
            added = tokenizer.get_added_tokens_decoder()
            ends = bool(ids) and ids[-1] in added and added[ids[-1]].special
            self._prompt_lengths[prompt] = len(ids) - ends
        return self._prompt_lengths[prompt]


def guarded(call: Callable[[], T]) -> T:
    """Return the result of a call of the library.

    Raises: TokenizationFailed, whatever the library raises.
    """
    try:
        return call()
    except BaseException as error:  # a panic in Rust is no Exception
        raise TokenizationFailed(f"tokenizer error {error}") from error


def _opened(path: Path, side: Side | None = None, length: int = 0) -> Tokenizer:
    """Open the tokenizer without padding, truncating on a side if one is named."""
    try:
        tokenizer = Tokenizer.from_buffer(untrusted.read(path, untrusted.MOST_TOKENIZER))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  # the library raises bare Exception
        reason = " ".join(str(error).split())
        raise StartupError(f"{path} cannot be loaded: {reason}") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if side is not None:
        tokenizer.enable_truncation(length, direction=side)
    return tokenizer
