"""Pairs: two texts as one input, cut as `tokenizers` cuts them, without what it keeps of the rest.

Where both texts are too long, its truncation makes an encoding of each part of the one with each
part of the other (huggingface/tokenizers 0.22, `Encoding::merge_with`): of two texts of 30,000
letters two gigabytes, of which the first encoding alone is read.
"""

from math import ceil
from typing import Any

import orjson
from tokenizers import Encoding, Tokenizer

from app.model.names import Side

MOST_PARTS = 64  # of one text with each of the other: a few times the length of an input


def may_have_many_parts(pair: tuple[str, str], length: int) -> bool:
    """Whether the parts of one text with each of the other may be many; a token has a byte or more.

    Each text keeps half of the length at least, if it is cut at all.
    """
    half = max(1, length // 2)
    first, second = (ceil(len(text.encode(errors="surrogatepass")) / half) for text in pair)
    return first * second > MOST_PARTS


def encode(
    tokenizer: Tokenizer, pair: tuple[str, str], length: int, side: Side, *, special_tokens: bool
) -> Encoding:
    """What a tokenizer that truncates to `length` yields for a pair; this one must not truncate.

    Special tokens are put around the pair if asked for, and are part of the length.
    """
    first, second = tokenizer.encode_batch_fast(list(pair), add_special_tokens=False)
    added = tokenizer.num_special_tokens_to_add(True) if special_tokens else 0
    kept = kept_of_each(len(first), len(second), max(0, length - added))
    return tokenizer.post_process(
        _part(first, kept[0], side, sequence=0),
        _part(second, kept[1], side, sequence=1),
        add_special_tokens=special_tokens,
    )


def kept_of_each(first: int, second: int, most: int) -> tuple[int, int]:
    """How many tokens of each text are kept, by the rule `longest_first` of `tokenizers`.

    The shorter one stays whole if the longer one may be at least as long beside it; else both
    are cut to halves.
    """
    if first + second <= most:
        return first, second
    shorter, longer = sorted((first, second))
    longer = shorter if shorter > most else max(shorter, most - shorter)
    if shorter + longer > most:
        shorter, longer = most // 2, most // 2 + most % 2
    return (longer, shorter) if first > second else (shorter, longer)


def _part(encoding: Encoding, kept: int, side: Side, sequence: int) -> Encoding:
    """The first tokens of a text, or the last if the left side is cut, and nothing of the rest."""
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
