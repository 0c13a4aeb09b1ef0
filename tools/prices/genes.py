"""Genes of a request: what a body is made of, drawn at random, changed a little, or grown."""

import math
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any

from app.options.settings import Settings

MOST_BYTES = Settings(model_id="any").payload_limit
MOST_INPUTS = 100_000
FORMS = ("texts", "text", "ids", "pairs")

# What words are made of, piece by piece.
PIECES: Mapping[str, Sequence[str]] = {
    "q": "q",
    "letters": string.ascii_lowercase,
    "digits": string.digits,
    "punctuation": "!?.,;:-_()",
    "quotes": '"\\/',
    "CJK": "北京大学的中文",
    "Hangul": "각힣한국어",
    "accents": "éÀñ\u1f82\u0390",
    "combining marks": "\u0301\u0323\u0345\u0308",
    "emoji": "\U0001f600\U0001f468\u200d\u2764\ufe0f",
    "blanks": " \t\n\u3000\u00a0",
    "NUL": "\0",
    "control characters": "\x01\x1f\x7f\x85\u200b",
    "unassigned": "\u0378\u0379\U000e0fff",
    "special tokens": ("[MASK]", "[SEP]", "[CLS]", "[PAD]", "[UNK]"),
    "[MASK]": ("[MASK]",),
    "any characters": tuple(map(chr, range(1, 0xD800, 53))),
}
IDS: Mapping[str, Sequence[int]] = {
    "1": (1,),
    "0": (0,),
    "103": (103,),
    "a vocabulary": tuple(range(0, 30_000, 37)),
    "no vocabulary": (2**32 - 1,),
}


def _listed(element: str, size: int) -> str:
    return ",".join([element] * (size // (len(element) + 1) + 1))


def _numbered(size: int) -> str:
    return ",".join(f'"{number}":0' for number in range(size // 10 + 1))


NESTED, NAMED, EMPTY = '{"a":{}}', '"inputs":0', '""'
# Values of about this many bytes.
STUFFINGS: Mapping[str, Callable[[int], str]] = {
    "nothing": lambda _: "0",
    "blanks": lambda size: " " * size + "0",
    "empty arrays": lambda size: f"[{_listed('[]', size)}]",
    "deep arrays": lambda size: f"[{_listed('[' * 100 + ']' * 100, size)}]",
    "too deep arrays": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "objects": lambda size: f"[{_listed(NESTED, size)}]",
    "members": lambda size: f"{{{_numbered(size)}}}",
    "members called inputs": lambda size: f"{{{_listed(NAMED, size)}}}",
    "zeros": lambda size: f"[{_listed('0', size)}]",
    "minus zeros": lambda size: f"[{_listed('-0', size)}]",
    "fractions": lambda size: f"[{_listed('1.7976931348623157e308', size)}]",
    "one long number": lambda size: "9" * (size + 1),
    "a string": lambda size: f'"{"a" * size}"',
    "empty strings": lambda size: f"[{_listed(EMPTY, size)}]",
    "escaped letters": lambda size: '"' + r"\u0061" * (size // 6) + '"',
    "escaped pairs": lambda size: '"' + r"\ud83d\ude00" * (size // 12) + '"',
    "escaped quotes": lambda size: '"' + r"\"" * (size // 2) + '"',
}
FAULTS = ("none", "none", "type", "twice", "cut", "trailing", "surrogate", "utf-8", "minus zero")


@dataclass(frozen=True, slots=True)
class Genes:
    """The properties of a body; sizes are in characters, or ids, before the cut to its limit."""

    form: str = "texts"
    kind: str = "q"  # one of PIECES
    word: int = 100  # pieces per word
    varied: bool = False  # whether pieces are random, and texts differ
    id: str = "1"  # one of IDS
    count: int = 32  # inputs
    size: int = 64  # of each input
    first: int = 0  # of the first input, a query or a source; 0 where it is like the others
    group: int = 1  # inputs per instance, where there are instances
    escaped: bool = False
    options: int = 0  # seed of the route's optional members; 0 for none
    stuffing: str = "nothing"  # one of STUFFINGS, in an unknown member
    stuffed: int = 0  # bytes of stuffing
    is_open: bool = False  # stuffing in a member of any type, where there is one
    is_behind: bool = False  # stuffing behind the inputs
    fault: str = "none"  # one of FAULTS

    def __str__(self) -> str:
        of_ids = f"ids {self.id}"
        of_texts = f"{'varied ' if self.varied else ''}{self.kind}, words of {self.word:,}"
        inputs = f"{self.count if self.form != 'text' else 1:,} × {self.size:,} " + (
            of_ids if self.form == "ids" else of_texts
        )
        said = {
            "pairs": self.form == "pairs",
            f"the first {self.first:,}": self.first,
            f"{self.group:,} an instance": self.group > 1,
            "escaped": self.escaped,
            f"{self.stuffed:,} bytes of {self.stuffing} {'behind' if self.is_behind else 'before'}"
            f"{' in an open member' if self.is_open else ''}": self.stuffed,
            f"fault: {self.fault}": self.fault != "none",
        }
        return "; ".join([inputs, *(words for words, is_so in said.items() if is_so)])


# Where a search begins: bodies known to be expensive, from a few bytes to the largest allowed.
KNOWN: Sequence[Genes] = (
    Genes(form="ids", count=1, size=1),
    Genes(form="ids", count=32, size=64),
    Genes(kind="letters", word=1, count=2, size=30_000),
    Genes(kind="letters", word=1, count=1, size=30_000, form="pairs"),
    Genes(kind="letters", word=1, count=2_000, size=1),
    Genes(kind="letters", word=1, count=32, size=1, first=30_000),
    Genes(count=32, size=1_900),
)
KNOWN_LARGE: Sequence[Genes] = (
    Genes(stuffing="members called inputs", stuffed=1_900_000, size=1, count=1),
    Genes(stuffing="empty arrays", stuffed=1_900_000, size=1, count=1),
    Genes(form="ids", count=1, size=990_000),
    Genes(count=32, size=1, first=1_900_000),
    Genes(kind="letters", word=1, count=10_000, size=1, group=32),
    Genes(count=31, size=64_000),
    Genes(form="pairs", count=31, size=32_000),
    Genes(form="ids", count=2_048, size=64),
    Genes(form="ids", count=20_000, size=64, group=32),
)


def drawn(random: Random) -> Genes:
    """Draw genes at random."""
    return Genes(**{one.name: _draw(one.name, random) for one in fields(Genes)})


def changed(genes: Genes, random: Random) -> Genes:
    """Draw one or two of the genes again, or change a size."""
    for _ in range(random.randint(1, 2)):
        name = random.choice(fields(Genes)).name
        value = getattr(genes, name)
        if type(value) is int and value and name != "options" and random.random() < 0.7:
            value = min(MOST_BYTES, max(1, round(value * 4 ** random.uniform(-1, 1))))
        else:
            value = _draw(name, random)
        genes = replace(genes, **{name: value})
    return genes


def grown(genes: Genes, times: float) -> Genes:
    """Multiply every size by a factor; at least 1 stays."""
    name = "count" if genes.count > 32 else "size"
    names = [one for one in (name, "first", "stuffed") if getattr(genes, one)]
    sizes: dict[str, Any] = {one: max(1, int(getattr(genes, one) * times)) for one in names}
    return replace(genes, **sizes)


def _draw(name: str, random: Random) -> Any:
    choices: Mapping[str, Sequence[str]] = {
        "form": FORMS,
        "kind": list(PIECES),
        "id": list(IDS),
        "stuffing": list(STUFFINGS),
        "fault": FAULTS,
    }
    most = {"word": 1_000, "count": MOST_INPUTS, "size": MOST_BYTES, "group": 40}
    if name in choices:
        return random.choice(choices[name])
    if name in most:
        return _spread(most[name], random)
    if name in {"first", "stuffed"}:
        return random.choice((0, _spread(MOST_BYTES, random)))
    return (
        random.choice((0, random.randrange(1, 1_000)))
        if name == "options"
        else random.random() < 0.3
    )


def _spread(most: int, random: Random) -> int:
    """Draw a size as often small as large: from 1, by orders of magnitude."""
    return round(math.exp(random.uniform(0, math.log(most))))
