"""Several files as one sequence of rows."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.bulk.reading.inputs import Inputs
from app.bulk.rows import Columns, JobError, Row

TEXT = Columns("text", None)


def paths(folder: Path) -> list[Path]:
    (folder / "a.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    (folder / "c.csv.gz").write_bytes(gzip.compress(b"text\nc\n"))
    pq.write_table(pa.table({"text": ["d", "e"]}), folder / "d.parquet")
    return [folder / "a.jsonl", folder / "c.csv.gz", folder / "d.parquet"]


@pytest.mark.parametrize("first", range(7))
def test_rows_of_all_files_from_any_on(tmp_path: Path, first: int) -> None:
    inputs = Inputs.of(paths(tmp_path), TEXT)
    found = list(inputs.rows(first))
    assert [(one.number, one.text) for one in found if isinstance(one, Row)] == list(
        enumerate("abcde")
    )[first:]


def test_size_is_that_of_all_files_and_all_of_it_is_read(tmp_path: Path) -> None:
    every = paths(tmp_path)
    inputs = Inputs.of(every, TEXT)
    assert inputs.size == sum(path.stat().st_size for path in every)
    assert list(inputs.rows(0))
    assert inputs.bytes_read == inputs.size


def test_only_the_last_file_may_grow(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text('{"text": "a"}\n{"text": "b')
    inputs = Inputs.of([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], TEXT)
    found = [(one.place, isinstance(one, Row)) for one in inputs.rows(0)]
    assert found == [("a.jsonl:1", True), ("a.jsonl:2", False), ("b.jsonl:1", True)]


def test_files_that_are_refused_before_any_is_read(tmp_path: Path) -> None:
    good, *_ = paths(tmp_path)
    for name, reason in {
        "a.txt": "has no suffix that says what it holds: .jsonl, .ndjson, .csv, .parquet; JSON "
        "Lines and CSV also with .gz or .zst",
        "a.parquet.gz": ": Parquet is compressed inside, and read as .parquet",
        "none.jsonl": "is not a file",
    }.items():
        path = tmp_path / name
        if not name.startswith("none"):
            path.touch()
        with pytest.raises(JobError) as raised:
            Inputs.of([good, path], TEXT)
        assert str(raised.value).removeprefix(str(path)).strip() == reason
