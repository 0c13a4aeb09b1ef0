"""Parquet as rows."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.bulk.reading.parquet_file import ParquetFile
from app.bulk.rows import Columns, JobError, Rejected, Row

TEXT = Columns("text", None)


def written(folder: Path, **columns: Any) -> Path:
    path = folder / "a.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def rows(path: Path, columns: Columns = TEXT) -> list[Row | Rejected]:
    source = ParquetFile(path, columns)
    source.require_columns()
    return [
        source.row(record, number, place) for number, (place, record) in enumerate(source.records())
    ]


def test_rows_with_and_without_ids(tmp_path: Path) -> None:
    path = written(tmp_path, text=["a", None, "c"], id=[5, 6, None], other=[1.0, 2.0, 3.0])
    assert rows(path) == [
        Row(0, "a.parquet, row 1", "5", "a"),
        Rejected(1, "a.parquet, row 2", "6", "it has no `text`"),
        Row(2, "a.parquet, row 3", "2", "c"),
    ]


def test_columns_by_name(tmp_path: Path) -> None:
    path = written(tmp_path, body=["a"], key=["k"])
    assert rows(path, Columns("body", "key")) == [Row(0, "a.parquet, row 1", "k", "a")]


def test_a_column_of_numbers_is_no_text(tmp_path: Path) -> None:
    path = written(tmp_path, text=[1])
    assert rows(path) == [Rejected(0, "a.parquet, row 1", None, "its `text` is no text")]


@pytest.mark.parametrize("in_dictionary", [False, True])
def test_strings_that_are_no_utf_8_are_no_rows(tmp_path: Path, in_dictionary: bool) -> None:
    texts = pa.array([b"a", b"caf\xe9", b"c", b"d", None], pa.binary()).view(pa.string())
    ids = pa.array([b"v", b"w", b"\xff", b"y", b"z"], pa.binary()).view(pa.string())
    if in_dictionary:
        texts, ids = texts.dictionary_encode(), ids.dictionary_encode()
    assert rows(written(tmp_path, text=texts, id=ids)) == [
        Row(0, "a.parquet, row 1", "v", "a"),
        Rejected(1, "a.parquet, row 2", "w", "its `text` is not valid UTF-8"),
        Rejected(2, "a.parquet, row 3", None, "its `id` is not valid UTF-8"),
        Row(3, "a.parquet, row 4", "y", "d"),
        Rejected(4, "a.parquet, row 5", "z", "it has no `text`"),
    ]


def test_bytes_read_follow_the_rows(tmp_path: Path) -> None:
    source = ParquetFile(written(tmp_path, text=["a", "b", "c"]), Columns("text", None))
    assert source.bytes_read == 0
    assert len(list(source.records())) == 3
    assert source.bytes_read == source.path.stat().st_size


def test_a_file_without_the_column(tmp_path: Path) -> None:
    path = written(tmp_path, body=["a"], key=["k"])
    with pytest.raises(JobError) as raised:
        rows(path)
    assert str(raised.value) == f"{path} has no column `text`: its columns are body, key"


def test_a_file_that_is_not_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(JobError, match=r"a\.parquet cannot be read: "):
        rows(path)


def test_a_file_that_is_damaged_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"text number {number}" for number in range(5000)]
    table = pa.table({"text": texts})
    pq.write_table(table, path, row_group_size=1000, use_dictionary=False, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    source = ParquetFile(path, TEXT)
    found: list[str] = []
    with pytest.raises(JobError, match=r"a\.parquet cannot be read to its end: "):
        found.extend(record["text"] for _, record in source.records())
    assert len(found) >= 1000
    assert found == texts[: len(found)]
