"""Documents: texts of any length as tokens, apart from what stands around them in every window."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from app.errors import BatchTooLarge, InvalidInput
from app.model.batch import TokenizedInput

TOKENS_AT_ONCE = 2_048  # to be made Python objects of, within a millisecond


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A text of T tokens, between special tokens and the tokens of its prompt."""

    input_ids: NDArray[np.int64]  # (before + T + after,)
    token_type_ids: NDArray[np.int64] | None  # the same; None if all are 0
    before: int  # special tokens and the prompt's, at the start of every window
    after: int  # special tokens at the end of every window
    places: NDArray[np.int64]  # (T,), of the character of the text that each token ends with
    prompt_length: int  # tokens at the start that are not pooled

    def __len__(self) -> int:
        return len(self.places)

    @property
    def nbytes(self) -> int:
        """The bytes of its arrays."""
        types = 0 if self.token_type_ids is None else self.token_type_ids.nbytes
        return self.input_ids.nbytes + types + self.places.nbytes

    def room(self, length: int) -> int:
        """Return how many tokens of the text a window of `length` tokens holds.

        Raises: InvalidInput if what stands around the text takes all.
        """
        around = self.before + self.after
        if around >= length:
            raise InvalidInput(
                f"Input validation error: the prompt takes all {length} tokens that the model "
                "has, and leaves none of `inputs`"
            )
        return length - around

    def window(self, start: int, stop: int) -> TokenizedInput:
        """Return an input of the text's tokens from `start` up to `stop`."""
        types = self.token_type_ids
        return TokenizedInput(
            self._between(self.input_ids, start, stop),
            None if types is None else self._between(types, start, stop),
            self.prompt_length,
        )

    def _between(self, values: NDArray[np.int64], start: int, stop: int) -> NDArray[np.int64]:
        before, behind = self.before, self.before + len(self)
        text = values[before + start : before + stop]
        return np.concatenate([values[:before], text, values[behind:]])


def document(encoding: Encoding, prompt: str, prompt_length: int) -> Document:
    """Return the document of an encoding with offsets in characters, not truncated; takes it apart.

    A token of the prompt is one that ends in it: one that begins there and ends in the text, as
    where a tokenizer keeps a space with the word behind it, is the text's.
    """
    ids, types, special, offsets = _arrays(encoding)
    # Of a token without characters, such as a mark of a beginning, it is where that stands.
    places = np.maximum.accumulate(np.maximum(offsets[:, 0], offsets[:, 1] - 1)) - len(prompt)
    text = np.flatnonzero(special == 0)
    if prompt:
        text = text[offsets[text, 1] > len(prompt)]
    before, behind = (int(text[0]), int(text[-1]) + 1) if len(text) else (len(ids), len(ids))
    return Document(
        input_ids=ids,
        token_type_ids=types if types.any() else None,
        before=before,
        after=len(ids) - behind,
        places=places[before:behind],
        prompt_length=prompt_length,
    )


def _arrays(encoding: Encoding) -> list[NDArray[np.int64]]:
    """Return ids, types, which tokens are special, and offsets (n, 2), of an encoding in parts.

    Each property of an encoding is a list of all its tokens, during which no other thread runs: of
    two megabytes of text for a third of a second.
    """
    encoding.truncate(TOKENS_AT_ONCE)
    parts = [
        [
            np.array(values, np.int64)
            for values in (part.ids, part.type_ids, part.special_tokens_mask, part.offsets)
        ]
        for part in (encoding, *encoding.overflowing)
    ]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def require_windows(count: int, length: int, most: int) -> None:
    """Refuse texts that together take more windows of `length` tokens than a request may.

    Raises: BatchTooLarge: a window is as much work as an input.
    """
    if count > most:
        raise BatchTooLarge(
            f"the inputs take at least {count} windows of {length} tokens > maximum allowed batch "
            f"size {most}; --max-client-batch-size raises it"
        )
