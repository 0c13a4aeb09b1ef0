"""Numerals: JSON's numbers as serde_json 1.0.140 reads them, without its `float_roundtrip`."""

import re

from app.api.shapes.faults import Fault
from app.api.shapes.fields import MAX_U64, MIN_I64

_NUMBER = re.compile(rb"(-?)([0-9]*+)(?:\.([0-9]++))?(?:[eE]([+-]?)([0-9]++))?")
_POWERS = [float(f"1e{power}") for power in range(309)]
_MAX_I32 = 2**31 - 1


def read(body: bytes, start: int) -> tuple[int | float, int]:
    """Return the number that begins at `start`, and where it ends.

    Raises: Fault.
    """
    match = _checked(body, start, passed=False)
    sign, whole, fraction, minus, power = match.groups()
    if fraction is None and power is None and len(whole) <= 20:
        value = -int(whole) if sign else int(whole)
        # What 64 bits cannot hold becomes a float, and so does -0.
        if (MIN_I64 <= value < 0) if sign else (value <= MAX_U64):
            return value, match.end()
    exponent = _exponent(power, negative=minus == b"-")
    significand, scale = _significand(whole, fraction or b"")
    if exponent is None:
        if significand and minus != b"-":
            raise _out_of_range(match.start(5) + len(_overflowing(power)))
        return (-0.0 if sign else 0.0), match.end()
    value_of = _scaled(significand, scale + exponent)
    if value_of is None:
        raise _out_of_range(match.end())
    return (-value_of if sign else value_of), match.end()


def skip(body: bytes, start: int) -> int:
    """Return where an ignored number ends; it may be of any size.

    Raises: Fault.
    """
    return _checked(body, start, passed=True).end()


def _checked(body: bytes, start: int, *, passed: bool) -> re.Match[bytes]:
    match = _NUMBER.match(body, start)
    assert match is not None  # it matches even an empty number
    whole, first, end = match[2], match.start(2), match.end()
    if not whole:
        raise _wanted(body, first, passed=passed)
    if whole.startswith(b"0") and len(whole) > 1:
        raise _invalid(first + 2)
    following = body[end : end + 1]
    if following == b"." and match[3] is None and match[5] is None:
        raise _wanted(body, end + 1, passed=passed)
    if following in {b"e", b"E"} and match[5] is None:
        signed = body[end + 1 : end + 2] in {b"+", b"-"}
        raise _wanted(body, end + 1 + signed, passed=passed)
    return match


def _wanted(body: bytes, at: int, *, passed: bool) -> Fault:
    """Return the fault of a digit that is missing at `at`."""
    if at >= len(body):
        message = "invalid number" if passed else "EOF while parsing a value"
        return Fault(message, at=len(body), syntax=True)
    return _invalid(at + 1)


def _invalid(at: int) -> Fault:
    return Fault("invalid number", at=at, syntax=True)


def _out_of_range(at: int) -> Fault:
    return Fault("number out of range", at=at, syntax=True)


def _significand(whole: bytes, fraction: bytes) -> tuple[int, int]:
    """Return as many leading digits as 64 bits hold, and the power of ten to scale them by."""
    digits = (whole + fraction).lstrip(b"0")
    dropped_zeros = len(whole) + len(fraction) - len(digits)
    kept = digits[:20]
    if len(kept) == 20 and int(kept) > MAX_U64:
        kept = kept[:19]
    return int(kept or b"0"), len(whole) - dropped_zeros - len(kept)


def _exponent(power: bytes | None, *, negative: bool) -> int | None:
    """Return the exponent, or None if 32 bits cannot hold it."""
    if power is None:
        return 0
    if _overflowing(power) != power or int(power) > _MAX_I32:
        return None
    return -int(power) if negative else int(power)


def _overflowing(power: bytes) -> bytes:
    """Return the digits of an exponent up to the one at which it no longer fits 32 bits."""
    zeros = len(power) - len(power.lstrip(b"0"))
    for length in (zeros + 10, zeros + 11):
        if len(power) >= length and int(power[zeros:length]) > _MAX_I32:
            return power[:length]
    return power


def _scaled(significand: int, exponent: int) -> float | None:
    """Return the number, rounded as often as serde_json rounds it, or None if it is infinite."""
    value = float(significand)
    while abs(exponent) > 308 and value:
        if exponent > 0:
            return None
        value /= 1e308
        exponent += 308
    if not value:
        return 0.0
    value = value * _POWERS[exponent] if exponent >= 0 else value / _POWERS[-exponent]
    return None if value == float("inf") else value
