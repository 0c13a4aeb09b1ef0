"""Typed reads of JSON values, by the contract's rules; a value that does not fit raises.

A reader takes a parsed JSON value and returns the typed one. It is a function, or a value that
declares its parts, so that the API's description can be made of the same declarations. Rules and
messages are those of the deserializers in TEI 1.9.3 (router/src/http/types.rs, serde_json 1.0.140).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.api.shapes import spelling

Reader = Callable[[Any], Any]

MAX_U32 = 2**32 - 1
MAX_U64 = 2**64 - 1
MIN_I64 = -(2**63)


class Misfit(Exception):
    """A value is not what its field takes; `syntax` if TEI calls that bad JSON."""

    def __init__(self, message: str, *, path: str = "", syntax: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.path = path  # from the value that was read to the one at fault: `[1]`, `.texts`
        self.syntax = syntax


class _Required:
    """The default of a field that is required."""


REQUIRED: Final = _Required()


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a request body: how to read it, and its value when it is absent.

    For a field with a default, `null` means absent as well, as clients write it for unset fields.
    (TEI refuses that if the default is not `null`.) An array in place of the object may end before
    a field that is `filled`; fields that are `added` are not TEI's, and never in an array.
    """

    name: str
    read: Reader
    default: Any = REQUIRED
    filled: bool = False
    added: bool = False


class Shape:
    """The fields of a request body, in the order of TEI's struct; others are ignored.

    `names` are those of all fields, nested ones too; `quoted_names` are they in JSON too. The
    dialect accepts `promised` inputs in one request, even if fewer are configured.
    """

    def __init__(self, name: str, *fields: Field, promised: int = 0) -> None:
        self.name = name
        self.promised = promised
        self.fields: Mapping[str, Field] = {field.name: field for field in fields}
        self.places: Sequence[Field] = [field for field in fields if not field.added]
        shapes = {field.name: shape_of(field.read) for field in fields}
        self.inner: Mapping[str, Shape] = {
            name: shape for name, shape in shapes.items() if shape is not None
        }
        self.names: frozenset[str] = frozenset(self.fields).union(
            *(shape.names for shape in self.inner.values())
        )
        self.quoted_names = {name: b'"%b"' % name.encode() for name in self.names}
        self.open_names = [field.name for field in fields if holds_anything(field.read)]

    def read(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return every field's typed value.

        Raises: Misfit for the first field that is missing or does not fit.
        """
        values = {}
        for name, field in self.fields.items():
            if name in found:
                values[name] = self.read_field(name, found[name])
            elif field.default is REQUIRED:
                raise Misfit(f"missing field `{name}`")
            else:
                values[name] = field.default
        return values

    def names_in(self, found: Mapping[str, Any]) -> Iterator[str]:
        """Yield the name of each field of an object, and of those in its inner objects."""
        for name, value in found.items():
            if name in self.fields:
                yield name
            if name in self.inner:
                for one in value if type(value) is list else [value]:
                    if type(one) is dict:
                        yield from self.inner[name].names_in(one)

    def too_short(self, count: int) -> Misfit:
        """Return the fault of an array of `count` elements that ends before a required field."""
        return Misfit(
            f"invalid length {count}, expected struct {self.name} with {len(self.places)} elements"
        )

    def read_field(self, name: str, value: Any) -> Any:
        """Return one field's typed value.

        Raises: Misfit whose path begins with the field.
        """
        field = self.fields[name]
        if value is None and field.default is not REQUIRED:
            return field.default
        try:
            return field.read(value)
        except Misfit as misfit:
            misfit.path = f"{name}{misfit.path}"
            raise


def boolean(value: Any) -> bool:
    """Read `true` or `false`; neither numbers nor strings are accepted."""
    if type(value) is bool:
        return value
    raise wrong_type(value, "a boolean")


def string(value: Any) -> str:
    """Read a string."""
    if type(value) is str:
        return value
    raise wrong_type(value, "a string")


def unsigned(value: Any) -> int:
    """Read an integer literal from 0 to 2^64 - 1; `12.0` and `1e2` are not accepted."""
    if type(value) is not int or not MIN_I64 <= value <= MAX_U64:
        raise wrong_type(value, "usize")
    if value < 0:
        raise Misfit(f"invalid value: integer `{value}`, expected usize")
    return value


@dataclass(frozen=True, slots=True)
class Variant:
    """One of a few strings; `expected` is how TEI lists them, and `name` is TEI's name of them."""

    expected: str
    values: Mapping[str, Any]
    name: str

    def __call__(self, value: Any) -> Any:
        if type(value) is not str:
            raise Misfit("expected value", syntax=True)
        if value not in self.values:
            raise Misfit(f"unknown variant `{value}`, expected {self.expected}")
        return self.values[value]


@dataclass(frozen=True, slots=True)
class Struct:
    """An object with fields of its own."""

    shape: Shape

    def __call__(self, value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise wrong_type(value, f"struct {self.shape.name}")
        try:
            return self.shape.read(value)
        except Misfit as misfit:
            misfit.path = f".{misfit.path}" if misfit.path else ""
            raise


def shape_of(read: Reader) -> Shape | None:
    """Return the fields of the object, or of each object in the array, that a reader reads."""
    if isinstance(read, ArrayOf):
        return shape_of(read.read)
    return read.shape if isinstance(read, Struct) else None


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """An array of elements of one kind."""

    read: Reader

    def __call__(self, values: Any) -> list[Any]:
        if type(values) is not list:
            raise wrong_type(values, "a sequence")
        return [_element(self.read, value, place) for place, value in enumerate(values)]


def anything(value: Any) -> Any:
    """Accept any value."""
    return value


def holds_anything(read: Reader) -> bool:
    """Check whether a reader accepts any number of levels."""
    return read is anything or (isinstance(read, ArrayOf) and holds_anything(read.read))


def wrong_type(value: Any, expected: str) -> Misfit:
    """Return serde's error for a value of another type."""
    return Misfit(f"invalid type: {_described(value)}, expected {expected}")


def _element(read: Reader, value: Any, place: int) -> Any:
    try:
        return read(value)
    except Misfit as misfit:
        misfit.path = f"[{place}]{misfit.path}"
        raise


def _described(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return f"boolean `{str(value).lower()}`"
        case int() if MIN_I64 <= value <= MAX_U64:
            return f"integer `{value}`"
        case int() | float():  # serde reads as a float what 64 bits cannot hold
            return f"floating point `{spelling.number(float(value))}`"
        case str():
            return f"string {spelling.quoted(value)}"
        case Mapping():
            return "map"
        case _:
            return "sequence"
