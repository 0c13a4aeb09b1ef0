"""Memory of a value that may be of several kinds: only the kinds still possible."""

from typing import Any

import pytest

from app.api.body.scanner import Scanner
from app.api.body.whole_value import capture


@pytest.mark.parametrize(
    ("levels", "found"),
    [(1, [-1, None, 0]), (2, [-1, [2, None], 0]), (3, [-1, [2, {"a": None, "b": -0.0}], 0])],
)
def test_levels_below_those_of_a_union_are_dropped(levels: int, found: Any) -> None:
    content = b'[-1,[2,{"a":[1.5,[]],"b":-0}],0]'
    assert capture(OneByOne(content), levels) == found
    assert capture(OneByOne(content)) == [-1, [2, {"a": [1.5, []], "b": -0.0}], 0]


class OneByOne(Scanner):
    """Reads without runs."""

    def _may_run(self, levels: int) -> bool:
        del levels
        return False
