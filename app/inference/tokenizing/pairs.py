"""Pairs: two texts as one input, cut as `tokenizers` cuts them, without its memory cost.

If both texts are too long, the library's truncation makes an encoding of each part of one with each
part of the other (huggingface/tokenizers 0.22, `Encoding::merge_with`): for two texts of 30,000
letters two gigabytes, of which only the first encoding is read.
"""

from math import ceil
from typing import Any

import orjson
from tokenizers import Encoding, Tokenizer

from app.model.names import Side

MOST_PARTS = 64  # combinations of parts: a few times the length of an input


def may_have_many_parts(pair: tuple[str, str], length: int) -> bool:
    """Check whether truncation may make many combinations of parts; a token has at least a byte.

    Each text keeps at least half of the length, if it is cut at all.
    """
    half = max(1, length // 2)
    first, second = (ceil(len(text.encode(errors="surrogatepass")) / half) for text in pair)
    return first * second > MOST_PARTS


def encode(
    tokenizer: Tokenizer, pair: tuple[str, str], length: int, side: Side, *, special_tokens: bool
) -> tuple[Encoding, bool]:
    """Encode a pair as if the tokenizer truncated to `length`; it must not truncate itself.

    Special tokens are added if asked for, and count towards the length. Also return whether any
    token was left out.
    """
    first, second = tokenizer.encode_batch_fast(list(pair), add_special_tokens=False)
    added = tokenizer.num_special_tokens_to_add(True) if special_tokens else 0
    kept = kept_of_each(len(first), len(second), max(0, length - added))
    encoding = tokenizer.post_process(
        _part(first, kept[0], side, sequence=0),
        _part(second, kept[1], side, sequence=1),
        add_special_tokens=special_tokens,
    )
    return encoding, kept != (len(first), len(second))


def kept_of_each(first: int, second: int, most: int) -> tuple[int, int]:
    """Return how many tokens of each text to keep, by the rule `longest_first` of `tokenizers`.

    The shorter one stays whole if the longer one may be at least as long beside it; else both are
    cut to halves.
    """
    if first + second <= most:
        return first, second
    shorter, longer = sorted((first, second))
    longer = shorter if shorter > most else max(shorter, most - shorter)
    if shorter + longer > most:
        shorter, longer = most // 2, most // 2 + most % 2
    return (longer, shorter) if first > second else (shorter, longer)


def _part(encoding: Encoding, kept: int, side: Side, sequence: int) -> Encoding:
    """Return the first tokens of a text, or the last if the left side is cut, without the rest."""
    state: dict[str, Any] = orjson.loads(encoding.__getstate__())
    tokens = slice(0, kept) if side == "right" else slice(len(encoding) - kept, None)
    part = {
        name: values[tokens] if isinstance(values, list) else values
        for name, values in state.items()
    }
    part["type_ids"] = [sequence] * kept
    part["sequence_ranges"] = {sequence: {"start": 0, "end": kept}}
    made = Encoding()
    made.__setstate__(orjson.dumps(part, option=orjson.OPT_NON_STR_KEYS))
    return made
