"""Inputs at fault: how many a request has, and the error of the first.

TEI counts a failure once for each input at fault, and answers with the first error.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from app.errors import ServiceError
from app.inference.tokenizing.encoding_input import EncodingInput, require_content

S = TypeVar("S")
T = TypeVar("T")


@contextmanager
def fault_of(inputs: int) -> Iterator[None]:
    """Set the number of inputs at fault on a ServiceError raised in the block."""
    try:
        yield
    except ServiceError as error:
        error.inputs = inputs
        raise


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


@contextmanager
def counted_as_tokenization() -> Iterator[None]:
    """Count errors raised in the block as tokenization failures, whatever they are, as TEI does."""
    try:
        yield
    except ServiceError as error:
        error.metric_label = "tokenization"
        raise


@contextmanager
def looked_for_before_the_prompt(inputs: Sequence[EncodingInput]) -> Iterator[None]:
    """Blame every input for an unknown prompt; but raise EmptyInput first if the first is empty."""
    with fault_of(len(inputs)):
        try:
            yield
        except ServiceError:
            require_content(inputs[0])
            raise
