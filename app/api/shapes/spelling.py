"""Spelling: how Rust prints the values that an error quotes."""

import re
import unicodedata
from decimal import Decimal

_NAMED = {"\0": "\\0", "\t": "\\t", "\n": "\\n", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_PLAIN = re.compile(r"[ !#-\[\]-~]*")
# What Unicode counts as the extension of a letter although it is no mark.
_EXTENDING = frozenset("\u200c\uff9e\uff9f")


def quoted(text: str) -> str:
    """The text in quotes, as `{:?}` writes it: what cannot be seen is escaped."""
    if _PLAIN.fullmatch(text):
        return f'"{text}"'
    return f'"{"".join(map(_escaped, text))}"'


def number(value: float) -> str:
    """The shortest decimal that gives the float64 back, in exponents where ryu has them."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)  # it is finite
    text, minus = "".join(map(str, digits)), "-" * sign
    point = len(text) + exponent  # where the decimal point stands
    if text == "0":
        return f"{minus}0.0"
    if 0 < point <= 16:
        whole = text.ljust(point, "0")
        return f"{minus}{whole[:point]}.{whole[point:] or '0'}"
    if -5 < point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{minus}{text[0]}{fraction}e{point - 1}"


def _escaped(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    if char in _EXTENDING or unicodedata.category(char) in {"Mn", "Me"} or not char.isprintable():
        return f"\\u{{{ord(char):x}}}"
    return char
