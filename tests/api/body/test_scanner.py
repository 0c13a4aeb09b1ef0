"""Tokens of JSON one at a time, with the places that serde_json gives its faults."""

from collections.abc import Callable

import pytest

from app.api.body.scanner import END, MOST_OPEN, QUOTE, Scanner
from app.api.shapes.faults import Fault


def fault(act: Callable[[], object]) -> tuple[str, int | None]:
    with pytest.raises(Fault) as caught:
        act()
    assert caught.value.syntax
    return caught.value.message, caught.value.at


def test_white_space_is_passed_and_the_end_is_no_byte() -> None:
    scanner = Scanner(b' \t\r\n"')
    assert scanner.peek() == QUOTE
    assert scanner.at == 4
    assert Scanner(b"  ").peek() == END


def test_scalars_are_read_to_their_ends() -> None:
    scanner = Scanner(b'"a" -1 1.5 true false null')
    assert [scanner.scalar() for _ in range(6)] == ["a", -1, 1.5, True, False, None]
    assert scanner.peek() == END


def test_a_fault_stands_behind_what_was_taken_or_behind_what_was_looked_at() -> None:
    assert fault(Scanner(b"nuts").scalar) == ("expected ident", 3)
    assert fault(Scanner(b"?").scalar) == ("expected value", 1)
    assert fault(Scanner(b"").scalar) == ("EOF while parsing a value", 0)


def test_elements_are_counted_by_their_commas() -> None:
    scanner = Scanner(b"[1,2]")
    scanner.enter()
    assert scanner.has_element(first=True)
    assert scanner.scalar() == 1
    assert scanner.has_element(first=False)
    assert scanner.scalar() == 2
    assert not scanner.has_element(first=False)
    scanner.leave_list()
    assert scanner.at == 5


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (b"", "EOF while parsing a list"),
        (b"2", "expected `,` or `]`"),
        (b",]", "trailing comma"),
        (b",", "EOF while parsing a value"),
    ],
)
def test_faults_after_an_element(rest: bytes, message: str) -> None:
    assert fault(lambda: Scanner(rest).has_element(first=False))[0] == message


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (b"", "EOF while parsing an object"),
        (b'"a"', "expected `,` or `}`"),
        (b",}", "trailing comma"),
        (b",1", "key must be a string"),
    ],
)
def test_faults_after_a_member(rest: bytes, message: str) -> None:
    assert fault(lambda: Scanner(rest).has_member(first=False))[0] == message


def test_no_more_brackets_are_open_than_serde_json_opens() -> None:
    scanner = Scanner(b"[" * (MOST_OPEN + 1))
    for _ in range(MOST_OPEN):
        scanner.enter()
    assert fault(scanner.enter) == ("recursion limit exceeded", MOST_OPEN + 1)
