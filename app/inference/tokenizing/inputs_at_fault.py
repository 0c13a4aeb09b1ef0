"""Inputs at fault: how many a request has, and the error of the first.

TEI counts a failure once for each input at fault, and answers with the first error.
"""

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TypeVar

from app.errors import BatchTooLarge, ServiceError
from app.inference.tokenizing.encoding_input import EncodingInput, require_content

S = TypeVar("S")
T = TypeVar("T")


class OnServiceError:
    """A block that is told of a ServiceError raised in it; a generator takes five times as long."""

    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        if isinstance(error, ServiceError):
            self.raised(error)

    def raised(self, error: ServiceError) -> None:
        """Note the error, or raise another one in its place."""
        raise NotImplementedError  # each subclass says which


class FaultOf(OnServiceError):
    """A block that sets the number of inputs at fault on a ServiceError raised in it."""

    __slots__ = ("_inputs",)

    def __init__(self, inputs: int) -> None:
        self._inputs = inputs

    def raised(self, error: ServiceError) -> None:
        error.inputs = self._inputs


def tried(call: Callable[[], T]) -> T | ServiceError:
    """Return the result of a call, or the ServiceError that it raised."""
    try:
        return call()
    except ServiceError as error:
        return error


def raise_first(faults: list[ServiceError]) -> None:
    """Raise the first of the faults, if any, with the number of inputs of them all.

    Empties the list: an error whose frames refer to it, and its whole request, would stay in memory
    until the garbage collector runs.
    """
    if faults:
        faults[0].inputs = sum(fault.inputs for fault in faults)
        del faults[1:]
        raise faults.pop()


def each(make: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """Return the result of `make` for each item; every item is tried.

    Raises: ServiceError of the first item at fault, with the number of all that are.
    """
    made: list[T] = []
    faults: list[ServiceError] = []
    for item in items:
        try:
            made.append(make(item))
        except ServiceError as error:
            faults.append(error)
    raise_first(faults)
    return made


class CountedAsTokenization(OnServiceError):
    """A block whose errors count as tokenization failures, whatever they are, as in TEI.

    But not the error of more windows than a request may have, which TEI does not know.
    """

    __slots__ = ()

    def raised(self, error: ServiceError) -> None:
        if not isinstance(error, BatchTooLarge):
            error.metric_label = "tokenization"


class PromptLookup(OnServiceError):
    """A block whose errors are every input's fault; EmptyInput comes first if the first is empty.

    TEI notices an empty text before an unknown prompt.
    """

    __slots__ = ("_inputs",)

    def __init__(self, inputs: Sequence[EncodingInput]) -> None:
        self._inputs = inputs

    def raised(self, error: ServiceError) -> None:
        with FaultOf(len(self._inputs)):
            require_content(self._inputs[0])
        error.inputs = len(self._inputs)
