"""Verb: how one kind of request is read, computed and answered, apart from the transport."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from app.api.shapes.fields import Field, Shape, Variant, boolean, string
from app.errors import ServiceError
from app.inference.admission import InputOptions
from app.inference.computing import Computed
from app.inference.served_model import ServedModel
from app.inference.tokenizing.encoding_input import EncodingInput

T = TypeVar("T")
Counted = Literal["embed", "predict"]
Schema = Mapping[str, Any]  # as OpenAPI 3.0.3 writes them
Reserve = Callable[[int], None]  # room for that many bytes; raises Overloaded

# Numbers that orjson writes in about a millisecond, during which no other task runs.
GROUP_NUMBERS = 32_768


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """A parsed request: its inputs, whether they came as a batch, and how to read them.

    `extra` is for its own verb only.
    """

    inputs: Sequence[EncodingInput]
    is_batch: bool
    options: InputOptions
    extra: T
    model: str | None = None  # the name that it asks for


class Named(dict[str, Any]):
    """A schema that is a component of the description, under a name that generated clients use.

    TEI's components have TEI's names.
    """

    def __init__(self, name: str, schema: Schema) -> None:
        super().__init__(schema)
        self.name = name


class Room(Protocol):
    """The bytes that a request holds of those for all."""

    def reserve(self, size: int) -> None:
        """Hold that many more, or as many as an idle service has; raises Overloaded."""

    def demand(self, size: int) -> None:
        """Hold that many more; raises Overloaded, or BatchTooLarge if there are never that many."""


class Verb(Protocol):
    """One kind of request in one dialect."""

    name: str  # of the log's events
    shape: Shape  # of its body
    answer: Named  # the schema of its JSON answer
    counted_as: Counted  # which of TEI's metrics count its inputs

    def build(self, values: dict[str, Any]) -> Request[Any]:
        """Make a request of a body's typed fields."""

    async def run(self, model: ServedModel, request: Request[Any], /) -> Computed[Any]:
        """Compute the request with the model; raises ServiceError."""

    def render(
        self, model: ServedModel, request: Request[Any], computed: Computed[Any], /
    ) -> Iterable[bytes]:
        """Return the JSON answer in parts, each rendered in a moment."""

    def render_error(self, error: ServiceError) -> bytes:
        """Return the JSON answer that reports an error."""


DIRECTION = Variant(
    "one of `Left`, `left`, `Right`, `right`",
    {"Left": "left", "left": "left", "Right": "right", "right": "right"},
    "TruncationDirection",
)
TRUNCATE = Field("truncate", boolean, None, filled=True)
TRUNCATION_DIRECTION = Field("truncation_direction", DIRECTION, None, filled=True)
PROMPT_NAME = Field("prompt_name", string, None)


NUMBER: Schema = {"type": "number"}
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}


def list_of(items: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items}


def record(**properties: Schema) -> Schema:
    """Return the schema of an object that has all of these properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def input_options(values: dict[str, Any]) -> InputOptions:
    """Return the input options among a body's fields."""
    return InputOptions(
        truncate=values["truncate"],
        direction=values.get("truncation_direction"),
        prompt_name=values.get("prompt_name"),
    )


USAGE = Named("OpenAICompatUsage", record(prompt_tokens=COUNT, total_tokens=COUNT))


def render_error(error: ServiceError) -> bytes:
    """Return TEI's `{"error": …, "error_type": …}`."""
    return orjson.dumps({"error": str(error), "error_type": error.error_type})


def groups(rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Split rows (N, D) into groups that take a moment to write."""
    size = max(1, GROUP_NUMBERS // max(1, rows.shape[1]))
    return (rows[start : start + size] for start in range(0, len(rows), size))


def joined(arrays: Iterable[bytes]) -> Iterator[bytes]:
    """Yield one JSON array of the elements of several arrays, none of which is empty."""
    opening = b"["
    for array in arrays:
        yield opening + array[1:-1]
        opening = b","
    yield b"[]" if opening == b"[" else b"]"


def nested(arrays: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """Yield a JSON array of at least one array, each of which comes in parts that are arrays."""
    before = b"["
    for array in arrays:
        before += b"["
        for place, part in enumerate(array):
            yield before + (b"," if place else b"") + part[1:-1]
            before = b""
        before += b"],"
    yield before[:-1] + b"]"


def numpy_json(value: Any) -> bytes:
    """Render JSON, with float32 arrays as the shortest decimals that give them back."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
