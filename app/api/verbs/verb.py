"""Verb: how one kind of request is read, computed and answered, apart from the transport."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

from app.api.shapes.fields import Shape
from app.api.shapes.openapi_types import Named
from app.errors import ServiceError
from app.inference.admission import InputOptions
from app.inference.computing import Computed
from app.inference.served_model import ServedModel
from app.inference.tokenizing.encoding_input import EncodingInput
from app.records import record

T = TypeVar("T")
Counted = Literal["embed", "predict"]
Reserve = Callable[[int], None]  # room for that many bytes; raises Overloaded


@record()
class Request(Generic[T]):
    """A parsed request: its inputs, whether they came as a batch, and how to read them.

    `extra` is for its own verb only.
    """

    inputs: Sequence[EncodingInput]
    is_batch: bool
    options: InputOptions
    extra: T
    model: str | None = None  # the name that it asks for


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
