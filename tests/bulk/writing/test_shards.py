"""Shards, read back by the libraries that will read them."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from app.bulk.computing import Embedded
from app.bulk.rows import Rejected, Row
from app.bulk.writing.folder import Part, claimed, opened
from app.bulk.writing.shards import Format, ShardOptions, Shards

CHOOSE = np.random.default_rng(5)


def embedded(first: int, rows: int, rejected: int = 0, dtype: str = "float32") -> Embedded:
    """Some rows with random vectors, and some rejected ones after them."""
    last = first + rows
    return Embedded(
        [Row(number, f"f:{number}", f"id-{number}", "text") for number in range(first, last)],
        CHOOSE.normal(size=(rows, 3)).astype(dtype) if rows else np.empty((0, 0), np.float32),
        [
            Rejected(number, f"f:{number}", None, "ä\ud800")
            for number in range(last, last + rejected)
        ],
        last + rejected,
        tokens=rows,
    )


def options(form: Format = "parquet", rows: int = 10) -> ShardOptions:
    return ShardOptions(form, rows, {"fingerprint": "f"})


def ids(first: int, last: int) -> list[str]:
    return [f"id-{number}" for number in range(first, last)]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8"])
def test_a_shard_in_parquet(tmp_path: Path, dtype: str) -> None:
    chunks = [embedded(0, 6, dtype=dtype), embedded(6, 4, dtype=dtype)]
    with claimed(tmp_path):
        shards = Shards(opened(tmp_path, {}, resume=False), options())
        for chunk in chunks:
            shards.add(chunk)
    table = pq.read_table(tmp_path)
    assert table.column("id").to_pylist() == ids(0, 10)
    vectors = table.column("vector").combine_chunks()
    assert vectors.type.list_size == 3
    expected = np.concatenate([one.vectors for one in chunks])
    found = vectors.flatten().to_numpy()
    assert found.dtype == dtype
    assert np.array_equal(found.reshape(-1, 3), expected)
    assert table.schema.metadata == {b"fingerprint": b"f"}


def test_a_shard_in_npy(tmp_path: Path) -> None:
    chunks = [embedded(0, 6), embedded(6, 4)]
    with claimed(tmp_path):
        shards = Shards(opened(tmp_path, {}, resume=False), options("npy"))
        for chunk in chunks:
            shards.add(chunk)
    found = np.load(tmp_path / "part-00000.npy", mmap_mode="r")
    assert np.array_equal(found, np.concatenate([one.vectors for one in chunks]))
    lines = (tmp_path / "part-00000.ids.jsonl").read_text().splitlines()
    assert [json.loads(one) for one in lines] == ids(0, 10)


def test_rows_go_to_the_next_shard_when_one_is_full(tmp_path: Path) -> None:
    with claimed(tmp_path):
        folder = opened(tmp_path, {}, resume=False)
        shards = Shards(folder, options(rows=10))
        for chunk in (embedded(0, 6), embedded(6, 6, 2), embedded(14, 3)):
            shards.add(chunk)
        assert (shards.rows, shards.rejected) == (12, 2)
        shards.complete()
        assert (shards.rows, shards.rejected) == (15, 2)
        assert opened(tmp_path, {}, resume=True).parts == (
            Part(0, 0, 14, 12, 2),
            Part(1, 14, 17, 3, 0),
        )
    assert pq.read_table(tmp_path / "part-00000.parquet").num_rows == 12
    assert pq.read_table(tmp_path / "part-00001.parquet").num_rows == 3
    rejected = (tmp_path / "_rejected" / "part-00000.jsonl").read_text().splitlines()
    assert json.loads(rejected[1]) == {
        "number": 13,
        "place": "f:13",
        "id": None,
        "reason": "ä\ud800",
    }


def test_a_resumed_job_counts_on(tmp_path: Path) -> None:
    with claimed(tmp_path):
        shards = Shards(opened(tmp_path, {}, resume=False), options(rows=4))
        shards.add(embedded(0, 4))
        shards.add(embedded(4, 2))  # never completed
    with claimed(tmp_path):
        shards = Shards(opened(tmp_path, {}, resume=True), options(rows=4))
        shards.add(embedded(4, 3, 1))
        assert (shards.rows, shards.rejected) == (7, 1)
    assert pq.read_table(tmp_path).column("id").to_pylist() == ids(0, 7)


def test_a_shard_without_any_vector_has_no_file(tmp_path: Path) -> None:
    with claimed(tmp_path):
        shards = Shards(opened(tmp_path, {}, resume=False), options())
        shards.add(embedded(0, 0, 3))
        shards.complete()
        shards.complete()  # nothing is left to complete
        assert opened(tmp_path, {}, resume=True).parts == (Part(0, 0, 3, 0, 3),)
    assert not list(tmp_path.glob("part-*"))
    assert len((tmp_path / "_rejected" / "part-00000.jsonl").read_text().splitlines()) == 3
