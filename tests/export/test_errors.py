"""A library's error as part of the one line that an operator reads."""

import pytest

from export.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no\nsuch key"), "no"),
        (ValueError("  \n"), "ValueError"),
        (KeyError(), "KeyError"),
    ],
)
def test_it_is_the_first_line_or_the_name(error: Exception, line: str) -> None:
    assert first_line(error) == line
