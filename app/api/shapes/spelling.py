"""Spelling: how Rust prints the values that an error quotes."""

import re
import unicodedata
from decimal import Decimal

_NAMED = {"\0": "\\0", "\t": "\\t", "\n": "\\n", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_PLAIN = re.compile(r"[ !#-\[\]-~]*")
# Characters that extend a letter in Unicode although they are not marks.
_EXTENDING = frozenset("\u200c\uff9e\uff9f")


def quoted(text: str) -> str:
    """Return the text in quotes, as `{:?}` writes it, with escapes for what is not printable."""
    if _PLAIN.fullmatch(text):
        return f'"{text}"'
    return f'"{"".join(map(_escaped, text))}"'


def number(value: float) -> str:
    """Return the shortest decimal that gives the float64 back, with exponents where ryu has any."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)  # it is finite
    text, minus = "".join(map(str, digits)), "-" * sign
    point = len(text) + exponent  # the digits before the decimal point
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
