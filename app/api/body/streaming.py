"""Streaming: the slow, exact reading of a body that the fast path refused or doubted.

TEI reads a body once, from its first byte to its first fault, into structs; so does this. A
`Reader` walks over the bytes according to the fields that a Shape declares, the same declarations
that the fast path reads by:

- an object, or an array in its place, gives a struct; unknown members are passed over;
- an array gives elements of one kind; a string, or an object of one key, gives a variant;
- a scalar is read whatever it is, and then the field's own reader takes or refuses it;
- any other reader is of an untagged union: its value is captured whole, then tried.

Every error is a Fault: bad syntax (400) or a wrong value (422), the path to it, and its place. A
fault without a place of its own gets the reader's, after leaving the object or array around it.
Follows serde_json 1.0.140, serde_path_to_error 0.1.17 and the structs of TEI 1.9.3
(router/src/http/types.rs).
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from app.api.body import bulk_matching
from app.api.body.garbage_collection import let_go
from app.api.body.scanner import END, MOST_OPEN, OPEN_LIST, OPEN_MAP
from app.api.body.skipping import skip
from app.api.body.walker import Walker
from app.api.body.whole_value import capture
from app.api.shapes.faults import Fault, Step, refusal
from app.api.shapes.fields import (
    REQUIRED,
    ArrayOf,
    Field,
    Misfit,
    Shape,
    Struct,
    Variant,
    anything,
    boolean,
    string,
    unsigned,
    wrong_type,
)
from app.api.shapes.fields import Reader as Read
from app.api.shapes.inputs import PREDICT_INPUT, is_first_of_batch, predict_input, text_or_pair

_SCALARS = {boolean, string, unsigned}
_UNION_LEVELS = 2  # the deepest variant of any union


def read(body: bytes, shape: Shape) -> dict[str, Any]:
    """Return the typed fields of a JSON body; anything after its first value is ignored.

    Raises: MalformedBody or MistypedBody with TEI's text.
    """
    try:
        return Reader(body).struct(shape)
    except Fault as fault:
        raise refusal(fault, body) from None


class Reader(Walker):
    """Reads typed values from a body, in their order there."""

    def struct(self, shape: Shape) -> dict[str, Any]:
        """Read the fields of an object, or of an array in its place."""
        byte = self.scanner.peek()
        if byte == OPEN_LIST:
            return self.in_list(lambda: self._placed(shape))
        if byte == OPEN_MAP:
            return self.in_map(lambda: self._named(shape))
        return self.refused(Struct(shape))

    def _named(self, shape: Shape) -> dict[str, Any]:
        values: dict[str, Any] = {}
        unknown = unknown_members(shape)
        for name in self._keys(unknown):
            field = shape.fields.get(name)
            if name in values:
                raise Fault(f"duplicate field `{name}`")
            self.scanner.colon()
            with Step(name):
                if field is None:
                    skip(self.scanner)
                else:
                    values[name] = self._field(field)
        for name, field in shape.fields.items():
            if values.setdefault(name, field.default) is REQUIRED:
                raise Fault(f"missing field `{name}`")
        return values

    def _keys(self, unknown: re.Pattern[bytes]) -> Iterator[str]:
        """Yield the keys of an object, each in its turn, passing over members that match."""
        first = True
        while self.scanner.has_member(first=first):
            self.scanner.pass_all(unknown)
            yield self.scanner.key()
            first = False

    def _placed(self, shape: Shape) -> dict[str, Any]:
        values = {name: field.default for name, field in shape.fields.items()}
        for place, field in enumerate(shape.places):
            if self.scanner.has_element(first=place == 0):
                with Step(place):
                    values[field.name] = self._field(field)
            elif not field.filled:
                raise Fault(shape.too_short(place).message)
        return values

    def _field(self, field: Field) -> Any:
        if field.default is not REQUIRED and self.scanner.null():
            return field.default
        return self.value(field.read)

    def value(self, read: Read) -> Any:
        """Read a value of the kind that `read` takes."""
        match read:
            case Struct():
                return self.struct(read.shape)
            case ArrayOf():
                return self._array(read)
            case Variant():
                return self.variant(read)
        if read is predict_input:
            return self._predict_input()
        return self.scalar(read) if read in _SCALARS else self._union(read)

    def _array(self, read: ArrayOf) -> list[Any]:
        if self.scanner.peek() != OPEN_LIST:
            self.refused(read)
        return self.in_list(lambda: self._elements(read.read))

    def _elements(self, read: Read) -> list[Any]:
        found: list[Any] = []
        while True:
            if not self.scanner.has_element(first=not found):
                return found
            self._extend(found, read)
            with Step(len(found)):
                found.append(self.value(read))

    def _extend(self, found: list[Any], read: Read) -> None:
        """Append the elements of a run; if one is refused, append none."""
        start = END
        while start != self.scanner.at:
            start = self.scanner.at
            try:
                found.extend([read(one) for one in self.scanner.elements()])
            except Misfit:
                self.scanner.back_to(start)

    def _union(self, read: Read) -> Any:
        value = capture(self.scanner, MOST_OPEN if read is anything else _UNION_LEVELS)
        try:
            return read(value)
        except Misfit as misfit:
            let_go(value)
            raise Fault(misfit.message) from None

    def _predict_input(self) -> Any:
        byte = self.scanner.peek()
        if byte == OPEN_LIST:
            return self.in_list(self._text_or_batch)
        if byte == OPEN_MAP:
            return self.in_map(self._no_map)
        return self.scalar(predict_input)

    def _no_map(self) -> None:
        raise Fault(wrong_type({}, PREDICT_INPUT).message)

    def _text_or_batch(self) -> tuple[list[Any], bool]:
        """Read a text, a pair, or a batch of these; the first element decides which."""
        if not self._has(0):
            self._text_or_pair([])
        with Step(0):
            first = capture(self.scanner, _UNION_LEVELS)
            if type(first) is not str and not is_first_of_batch(first):
                raise Fault("data did not match any variant of untagged enum Internal")
        if type(first) is str:
            texts = [first]
            while len(texts) < 3 and self._has(len(texts)):
                with Step(len(texts)):
                    texts.append(self.scalar(string))
            return [self._text_or_pair(texts)], False
        batch = [self._text_or_pair(first)]
        while self._has(len(batch)):
            self._extend(batch, _text_or_pair_value)
            with Step(len(batch)):
                texts = self._array(ArrayOf(string))
            batch.append(self._text_or_pair(texts))
        return batch, True

    def _has(self, place: int) -> bool:
        return self.scanner.has_element(first=place == 0)

    def _text_or_pair(self, texts: list[str]) -> Any:
        try:
            return text_or_pair(texts)
        except Misfit as misfit:
            raise Fault(misfit.message) from None


def _text_or_pair_value(value: Any) -> Any:
    return text_or_pair(ArrayOf(string)(value))


@cache
def unknown_members(shape: Shape) -> re.Pattern[bytes]:
    """Return the pattern of members that no field of a shape reads."""
    return bulk_matching.unknown_members(shape.fields)
