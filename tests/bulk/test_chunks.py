"""Grouping of rows into chunks."""

from collections.abc import Iterator

import pytest

from app.bulk.chunks import CHARACTERS, ROWS, Chunk, chunked
from app.bulk.rows import JobError, Rejected, Row


def row(number: int, text: str = "a") -> Row:
    return Row(number, f"f:{number}", str(number), text)


def numbers(chunk: Chunk) -> list[int]:
    return [one.number for one in chunk.rows]


def test_chunks_hold_a_number_of_rows_in_order() -> None:
    chunks = list(chunked(row(number) for number in range(ROWS + 3)))
    assert [numbers(one) for one in chunks] == [list(range(ROWS)), [ROWS, ROWS + 1, ROWS + 2]]
    assert [one.next_row for one in chunks] == [ROWS, ROWS + 3]


def test_rejected_rows_count_too() -> None:
    rows = [Rejected(number, "f:1", None, "no") for number in range(ROWS)]
    [chunk] = chunked(rows)
    assert (chunk.rows, chunk.rejected, chunk.next_row) == ([], rows, ROWS)


def test_long_texts_make_small_chunks() -> None:
    long = "x" * (CHARACTERS // 2)
    chunks = list(chunked(row(number, long) for number in range(5)))
    assert [numbers(one) for one in chunks] == [[0, 1], [2, 3], [4]]


def test_no_rows_are_no_chunk() -> None:
    assert list(chunked([])) == []


def test_rows_before_an_error_are_not_lost() -> None:
    def rows() -> Iterator[Row]:
        yield row(0)
        yield row(1)
        raise JobError("the file ends here")

    chunks = chunked(rows())
    assert numbers(next(chunks)) == [0, 1]
    with pytest.raises(JobError, match="the file ends here"):
        next(chunks)
