"""Records that make a row, and those that do not."""

from typing import Any

import pytest

from app.bulk import rows
from app.bulk.rows import Columns, Rejected, Row, row_of

TEXT = Columns("text", None)


@pytest.mark.parametrize(
    ("record", "columns", "expected"),
    [
        ({"text": "a"}, TEXT, Row(7, "f:1", "7", "a")),
        ({"text": "a", "id": "x"}, TEXT, Row(7, "f:1", "x", "a")),
        ({"text": "a", "id": 12}, TEXT, Row(7, "f:1", "12", "a")),
        ({"text": "a", "id": None}, TEXT, Row(7, "f:1", "7", "a")),
        ({"body": "a", "key": 0, "id": 1}, Columns("body", "key"), Row(7, "f:1", "0", "a")),
        ({"text": "a"}, Columns("text", "key"), Rejected(7, "f:1", None, "it has no `key`")),
        ({"id": 3}, TEXT, Rejected(7, "f:1", "3", "it has no `text`")),
        ({"text": None}, TEXT, Rejected(7, "f:1", None, "it has no `text`")),
        ({"text": 5}, TEXT, Rejected(7, "f:1", None, "its `text` is no text")),
        (["a"], TEXT, Rejected(7, "f:1", None, "it is no object with a `text`")),
        ({"text": "\ud800"}, TEXT, Rejected(7, "f:1", None, "its `text` is not valid UTF-8")),
        (
            {"text": "a", "id": "\udce9"},
            TEXT,
            Rejected(7, "f:1", None, "its `id` is not valid UTF-8"),
        ),
        (
            {"text": "a", "key": "\udce9"},
            Columns("text", "key"),
            Rejected(7, "f:1", None, "its `key` is not valid UTF-8"),
        ),
    ],
)
def test_row_of_a_record(record: Any, columns: Columns, expected: Row | Rejected) -> None:
    assert row_of(record, columns, 7, "f:1") == expected


def test_a_text_that_is_too_long_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_CHARACTERS", 3)
    assert row_of({"text": "abcd"}, TEXT, 0, "f:1") == Rejected(
        0, "f:1", None, "it has more than 3 characters: 4"
    )
    assert isinstance(row_of({"text": "abc"}, TEXT, 0, "f:1"), Row)
