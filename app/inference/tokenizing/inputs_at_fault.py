"""Inputs at fault: how many of a request are, and the error of the first.

TEI counts a failure once for each input at fault, and answers with the first of them.
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
    """Say of what goes wrong within the block that so many inputs of a request are at fault."""
    try:
        yield
    except ServiceError as error:
        error.inputs = inputs
        raise


def raise_first(faults: list[ServiceError]) -> None:
    """Raise the first of the faults, if there is any, for the inputs of them all.

    The list is emptied: an error that its own frames lead to is freed by the collector alone, and
    all of its request with it.
    """
    if faults:
        faults[0].inputs = sum(fault.inputs for fault in faults)
        del faults[1:]
        raise faults.pop()


def each(make: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """What is made of each item, of which every one is tried.

    Raises: ServiceError of the first at fault, for all that are.
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
    """TEI counts whatever fails in this stage under its name, whatever it is."""
    try:
        yield
    except ServiceError as error:
        error.metric_label = "tokenization"
        raise


@contextmanager
def looked_for_before_the_prompt(inputs: Sequence[EncodingInput]) -> Iterator[None]:
    """Where a prompt is not found every input is at fault, and an empty one for being that."""
    with fault_of(len(inputs)):
        try:
            yield
        except ServiceError:
            require_content(inputs[0])
            raise
