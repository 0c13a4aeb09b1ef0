"""Tree: the typed reading of values already in memory, such as the instances of `/vertex`.

It follows `serde_json::from_value` of serde_json 1.0.140: fields in alphabetical order, wrong types
before missing fields, arrays in place of objects, and faults without a place.
"""

from typing import Any

from app.api.shapes.fields import (
    REQUIRED,
    ArrayOf,
    Misfit,
    Reader,
    Shape,
    Struct,
    Variant,
    wrong_type,
)


def read(value: Any, shape: Shape) -> dict[str, Any]:
    """Return the typed fields of a value.

    Raises: Misfit for the first fault.
    """
    if type(value) is dict:
        return _named(value, shape)
    if type(value) is list:
        return _placed(value, shape)
    raise wrong_type(value, f"struct {shape.name}")


def _named(found: dict[str, Any], shape: Shape) -> dict[str, Any]:
    given = {
        name: _field(found[name], shape, name) for name in sorted(found) if name in shape.fields
    }
    for name, field in shape.fields.items():
        if given.setdefault(name, field.default) is REQUIRED:
            raise Misfit(f"missing field `{name}`")
    return given


def _placed(found: list[Any], shape: Shape) -> dict[str, Any]:
    values = {name: field.default for name, field in shape.fields.items()}
    for place, field in enumerate(shape.places):
        if place < len(found):
            values[field.name] = _field(found[place], shape, field.name)
        elif not field.filled:
            raise shape.too_short(place)
    if len(found) > len(shape.places):
        raise Misfit(f"invalid length {len(found)}, expected fewer elements in array")
    return values


def _field(value: Any, shape: Shape, name: str) -> Any:
    field = shape.fields[name]
    if value is None and field.default is not REQUIRED:
        return field.default
    return _value(value, field.read)


def _value(value: Any, reader: Reader) -> Any:
    match reader:
        case Variant():
            return _variant(value, reader)
        case Struct():
            return read(value, reader.shape)
        case ArrayOf() if type(value) is list:
            return [_value(one, reader.read) for one in value]
        case _:
            return reader(value)


def _variant(value: Any, reader: Variant) -> Any:
    if type(value) is str:
        return reader(value)
    if type(value) is not dict:
        raise wrong_type(value, "string or map")
    if len(value) != 1:
        raise Misfit("invalid value: map, expected map with a single key")
    ((name, content),) = value.items()
    found = reader(name)
    if content is not None:
        raise wrong_type(content, "unit")
    return found
