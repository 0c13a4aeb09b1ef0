"""Statuses: every error has TEI's."""

from collections.abc import Iterator

import pytest
from grpc import StatusCode

from app import errors
from app.errors import ServiceError
from app.rpc.statuses import MOST_BYTES, CallRefused, code_of, reason_of


def every(error: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for one in error.__subclasses__():
        yield one
        yield from every(one)


EXPECTED = {
    400: StatusCode.INVALID_ARGUMENT,
    404: StatusCode.INVALID_ARGUMENT,
    424: StatusCode.FAILED_PRECONDITION,
    429: StatusCode.RESOURCE_EXHAUSTED,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}


@pytest.mark.parametrize(
    "error", sorted(set(every(ServiceError)), key=str), ids=lambda one: one.__name__
)
def test_every_error_has_a_status(error: type[ServiceError]) -> None:
    code = code_of(error.__new__(error))
    if error.status == 422:
        is_of_the_tokenizer = error is errors.TokenizationFailed
        expected = StatusCode.INVALID_ARGUMENT
        assert code is (StatusCode.FAILED_PRECONDITION if is_of_the_tokenizer else expected)
    else:
        assert code is EXPECTED[error.status]


def test_a_call_is_refused_with_its_own() -> None:
    assert code_of(CallRefused(StatusCode.UNAUTHENTICATED, "")) is StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("character", ["a", "é", "\N{GRINNING FACE}"])
def test_a_message_that_clients_would_not_take_is_cut(character: str) -> None:
    assert reason_of(errors.InvalidInput("short " + character)) == "short " + character
    found = reason_of(errors.InvalidInput(character * 100_000))
    assert set(found) == {character}
    assert MOST_BYTES - 4 < len(found.encode()) <= MOST_BYTES
