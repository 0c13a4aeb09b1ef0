"""Values as Rust prints them in errors."""

import pytest

from app.api.shapes import spelling


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("cat", '"cat"'),
        ('a"b\\c', r'"a\"b\\c"'),
        ("\0\t\n\r", r'"\0\t\n\r"'),
        ("é 你", '"é 你"'),
        ("\x1b", r'"\u{1b}"'),
        ("a\u0301", r'"a\u{301}"'),  # a combining mark
        ("\u200c", r'"\u{200c}"'),
    ],
)
def test_invisible_characters_are_escaped(text: str, written: str) -> None:
    assert spelling.quoted(text) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (-2.5, "-2.5"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e16"),
        (1.5e300, "1.5e300"),
        (1e-5, "0.00001"),
        (1e-6, "1e-6"),
        (0.1, "0.1"),
    ],
)
def test_a_number_is_the_shortest_that_gives_it_back(value: float, written: str) -> None:
    assert spelling.number(value) == written
