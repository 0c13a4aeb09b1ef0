"""Encodings: texts through the tokenizer, truncated if asked for, and which of them that cut."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from tokenizers import Encoding, Tokenizer

from app.inference.tokenizing import pairs
from app.inference.tokenizing.input_text import EncodeOptions, Text
from app.inference.tokenizing.tokenizer_set import TokenizerSet, guarded


class Encoded(NamedTuple):
    """The encoding of a text, and whether some of the input was left out."""

    encoding: Encoding
    is_cut: bool


def encode(
    tokenizers: TokenizerSet, texts: Sequence[Text], options: EncodeOptions, length: int
) -> list[Encoded]:
    """Return an encoding of each text, of at most `length` tokens if it is to be truncated."""
    if not options.truncate:
        return [Encoded(one, False) for one in encode_batch(tokenizers.whole, texts)]
    apart: dict[int, Encoded] = {}
    for place, one in enumerate(texts):
        text = one.text
        if not isinstance(text, str) and pairs.may_have_many_parts(text, length):
            call = partial(pairs.encode, tokenizers.whole, text, length, options.direction)
            encoding, is_cut = guarded(partial(call, special_tokens=one.add_special_tokens))
            apart[place] = Encoded(encoding, is_cut or one.is_cut)
    cutting = tokenizers.cutting(options.direction, length)
    if not apart:
        return _cut(cutting, texts, length)
    rest = iter(_cut(cutting, [texts[i] for i in range(len(texts)) if i not in apart], length))
    return [apart[i] if i in apart else next(rest) for i in range(len(texts))]


def encode_batch(tokenizer: Tokenizer, texts: Sequence[Text]) -> list[Encoding]:
    """Encode in one call for each way of adding special tokens, which is nearly always one."""
    encodings: dict[int, Encoding] = {}
    for special in {text.add_special_tokens for text in texts}:
        places = [i for i, text in enumerate(texts) if text.add_special_tokens is special]
        batch = [texts[i].text for i in places]
        encode = partial(tokenizer.encode_batch_fast, batch, add_special_tokens=special)
        found: list[Encoding] = guarded(encode)
        if len(found) == len(texts):
            return found
        encodings.update(zip(places, found, strict=True))
    return [encodings[i] for i in range(len(texts))]


def _cut(tokenizer: Tokenizer, texts: Sequence[Text], length: int) -> list[Encoded]:
    """Return the encoding of each text by a tokenizer that truncates to `length` tokens."""
    return [
        Encoded(encoding, one.is_cut or _has_more(encoding, length))
        for one, encoding in zip(texts, encode_batch(tokenizer, texts), strict=True)
    ]


def _has_more(encoding: Encoding, length: int) -> bool:
    """Check whether truncation has left tokens out; they are copied when they are asked for."""
    return len(encoding) >= length and bool(encoding.overflowing)
