"""CSV as rows."""

import csv
from pathlib import Path

import pytest

from app.bulk.reading import csv_file
from app.bulk.reading.csv_file import CsvFile
from app.bulk.rows import Columns, JobError, Rejected, Row

TEXT = Columns("text", None)


def rows(path: Path, columns: Columns = TEXT) -> list[Row | Rejected]:
    source = CsvFile(path, columns)
    source.require_columns()
    return [
        source.row(record, number, place) for number, (place, record) in enumerate(source.records())
    ]


def test_rows_of_records(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["id", "text"], ["x", 'größer, "so"\nand on'], [], ["y", "b"]])
    assert rows(path) == [
        Row(0, "a.csv, record 2", "x", 'größer, "so"\nand on'),
        Row(1, "a.csv, record 3", "y", "b"),
    ]


def test_columns_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("title,body,key\nA,a,1\n")
    assert rows(path, Columns("body", "key")) == [Row(0, "a.csv, record 2", "1", "a")]


def test_records_that_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,text\n1,a,b\n2,\xff\n3,c\ncaf\xe9,d\n")
    assert rows(path) == [
        Rejected(0, "a.csv, record 2", None, "it has 3 values for 2 columns"),
        Rejected(1, "a.csv, record 3", "2", "its `text` is not valid UTF-8"),
        Row(2, "a.csv, record 4", "3", "c"),
        Rejected(3, "a.csv, record 5", None, "its `id` is not valid UTF-8"),
    ]


def test_a_single_byte_that_is_no_text_is_not_taken_for_a_long_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text\n\xff\n")
    assert rows(path) == [Rejected(0, "a.csv, record 2", None, "its `text` is not valid UTF-8")]


def test_a_line_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "MOST_LINE_BYTES", 20)
    path = tmp_path / "a.csv"
    path.write_text('text\n0123456789012345678901\n"01234567890\n1234567890"\nb\n')
    assert rows(path) == [
        Rejected(0, "a.csv, record 2", None, "it has more than 16,000,000 characters"),
        Rejected(1, "a.csv, record 3", None, "it has more than 16,000,000 characters"),
        Row(2, "a.csv, record 4", "2", "b"),
    ]


RETURN = "it has a carriage return outside quotation marks: a line ends with a line feed"


def test_a_carriage_return_alone_ends_no_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text\r\n1,a\rb\r\n2,"a\rb"\n3,c\r\n')
    assert rows(path) == [
        Rejected(0, "a.csv, record 2", None, RETURN),
        Row(1, "a.csv, record 3", "2", "a\rb"),
        Row(2, "a.csv, record 4", "3", "c"),
    ]


def test_a_first_line_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "MOST_LINE_BYTES", 20)
    path = tmp_path / "a.csv"
    for content, reason in {
        b"id,text\r1,a\r": RETURN,
        b"id,text" + b"x" * 20: "it has more than 16,000,000 characters",
    }.items():
        path.write_bytes(content)
        with pytest.raises(JobError) as raised:
            rows(path)
        assert str(raised.value) == f"{path}, record 1: {reason}"


@pytest.mark.parametrize(
    ("content", "columns", "missing", "there"),
    [
        ("id,body\n", Columns("text", None), "text", "id, body"),
        ("id,text\n", Columns("text", "key"), "key", "id, text"),
        ("", Columns("text", None), "text", "none"),
    ],
)
def test_a_file_without_the_column(
    tmp_path: Path, content: str, columns: Columns, missing: str, there: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(JobError) as raised:
        rows(path, columns)
    assert str(raised.value) == f"{path} has no column `{missing}`: its columns are {there}"
