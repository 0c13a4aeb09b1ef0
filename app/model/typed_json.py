"""Typed JSON: parsed JSON, turned into exactly the types that dataclasses declare."""

import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal


class Misfit(Exception):
    """A value is not of the declared type; the message begins with its path."""


def build(kind: Any, value: Any, path: str) -> Any:
    """Turn parsed JSON into the declared type: a dataclass, a literal, a tuple, or a plain value.

    Raises: Misfit with the path of the fault.
    """
    if is_dataclass(kind):
        return _build_dataclass(kind, value, path)
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin in {types.UnionType, typing.Union}:
        return None if value is None else build(arguments[0], value, path)
    if origin is Literal:
        if value not in arguments:
            raise Misfit(f"{path}: {value!r} is not one of {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(build(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: build(arguments[1], item, f"{path}.{key}") for key, item in value.items()}
    expected = origin or kind
    if expected is float and type(value) is int:
        return float(value)
    if type(value) is not expected:
        raise Misfit(f"{path}: {value!r} is not of type {expected.__name__}")
    return value


def _build_dataclass(kind: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise Misfit(f"{path}: {value!r} is not an object")
    hints = typing.get_type_hints(kind)
    found = {}
    for declared in fields(kind):
        where = f"{path}.{declared.name}" if path else declared.name
        if declared.name in value:
            found[declared.name] = build(hints[declared.name], value[declared.name], where)
        elif declared.default is MISSING:
            raise Misfit(f"{where} is missing")
    return kind(**found)
