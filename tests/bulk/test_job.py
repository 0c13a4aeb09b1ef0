"""Jobs from the first row to the last, through the program."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from app.bulk import program
from tools import texts, tiny

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a job over the tiny model into `out`; return the exit code and the output."""

    def run_job(*arguments: str | Path) -> tuple[int, str]:
        given = [*map(str, arguments), "--output", str(tmp_path / "out")]
        code = program.main([*given, "--model-id", str(tiny_model), "--provider", "cpu"], {})
        return code, capfd.readouterr().err

    return run_job


def jsonl(path: Path, records: Sequence[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(one)}\n" for one in records))
    return path


def vectors(folder: Path) -> NDArray[np.float32]:
    column = pq.read_table(folder).column("vector").combine_chunks()
    found: NDArray[np.float32] = column.flatten().to_numpy().reshape(-1, column.type.list_size)
    return found


def test_vectors_of_every_row(run: Run, tmp_path: Path) -> None:
    records = [{"id": f"d{i}", "text": text} for i, text in enumerate(texts.passages(3000, 30))]
    path = jsonl(tmp_path / "a.jsonl", records)
    assert run(path, "--shard-rows", "1000") == (0, "")
    table = pq.read_table(tmp_path / "out")
    assert table.column("id").to_pylist() == [one["id"] for one in records]
    # The same texts in another order have the same vectors, so none was given to another row.
    jsonl(path, records[::-1])
    (tmp_path / "out").rename(tmp_path / "first")
    assert run(path) == (0, "")
    assert np.allclose(vectors(tmp_path / "out")[::-1], vectors(tmp_path / "first"), atol=1e-5)
    assert len(list((tmp_path / "first").glob("*.parquet"))) == 3


def test_metadata_say_what_the_vectors_are(run: Run, tmp_path: Path, tiny_model: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "a"}])
    assert run(path, "--dimensions", "4", "--normalize", "false") == (0, "")
    metadata = pq.read_schema(tmp_path / "out" / "part-00000.parquet").metadata
    manifest = json.loads((tiny_model / "manifest.json").read_text())
    assert metadata[b"fingerprint"].decode() == manifest["fingerprint"]
    assert metadata[b"compute_dtype"] in {b"float32", b"int16"}
    assert (metadata[b"dimensions"], metadata[b"normalized"]) == (b"4", b"false")
    assert metadata[b"model"].decode() == manifest["source"]["id"]


def test_several_files_of_several_formats(run: Run, tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [{"key": "a", "body": "one"}])
    (tmp_path / "b.csv").write_text("key,body\nb,two\n")
    pq.write_table(pa.table({"key": ["c"], "body": ["three"]}), tmp_path / "c.parquet")
    inputs = [tmp_path / name for name in ("a.jsonl", "b.csv", "c.parquet")]
    assert run(*inputs, "--text-column", "body", "--id-column", "key") == (0, "")
    assert pq.read_table(tmp_path / "out").column("id").to_pylist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("dtype", "numpy_dtype", "width"), [("float16", "float16", 16), ("ubinary", "uint8", 2)]
)
def test_output_types(run: Run, tmp_path: Path, dtype: str, numpy_dtype: str, width: int) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "a"}, {"text": "b"}])
    assert run(path, "--output-dtype", dtype, "--output-format", "npy") == (0, "")
    found = np.load(tmp_path / "out" / "part-00000.npy")
    assert (found.dtype, found.shape) == (np.dtype(numpy_dtype), (2, width))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            ["--output-dtype", "int8", "--normalize", "false"],
            "`normalize` cannot be false for `int8`",
        ),
        (["--output-dtype", "int8", "--pooling", "cls"], "not available with --pooling cls"),
        (["--dimensions", "17"], "`dimensions` should be smaller than the maximum"),
    ],
)
def test_vectors_that_the_model_cannot_give_are_no_job(
    run: Run, tmp_path: Path, options: list[str], reason: str
) -> None:
    """No row is read, since every row would be rejected."""
    path = jsonl(tmp_path / "a.jsonl", [{"text": "a"}])
    code, said = run(path, *options)
    assert code == 1
    assert said.startswith("Error: the model cannot give these vectors: ")
    assert reason in said
    assert said.count("\n") == 1
    assert run(path) == (0, "")  # the folder is unused


def test_a_model_of_another_kind_is_no_job(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny.build(tmp_path / "ranks", "reranker")
    path = jsonl(tmp_path / "a.jsonl", [{"text": "a"}])
    given = [str(path), "--output", str(tmp_path / "out"), "--model-id", str(tmp_path / "ranks")]
    assert program.main(given, {}) == 1
    assert "the model cannot give these vectors: " in capfd.readouterr().err


def test_a_file_that_breaks_off_is_resumed_when_it_is_whole(run: Run, tmp_path: Path) -> None:
    records = [{"text": text} for text in texts.passages(2000, 30)]
    path = tmp_path / "a.jsonl.gz"
    whole = jsonl(tmp_path / "a.jsonl", records).read_bytes()
    with pa.CompressedOutputStream(str(path), "gzip") as stream:
        stream.write(whole)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    code, said = run(path)
    assert code == 1
    assert said.startswith(f"Error: {path} cannot be read to its end: ")
    assert said.count("\n") == 1
    before = pq.read_table(tmp_path / "out").num_rows
    assert 0 < before < 2000
    path.write_bytes(content)
    assert run(path, "--resume") == (0, "")
    assert pq.read_table(tmp_path / "out").column("id").to_pylist() == list(map(str, range(2000)))


def test_a_line_that_was_being_written_is_read_when_it_is_whole(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"id": "x", "text": "tw')
    assert run(path) == (0, "")
    with path.open("a") as file:
        file.write('o"}\n{"id": "y", "text": "three"}\n')
    assert run(path, "--resume") == (0, "")
    assert pq.read_table(tmp_path / "out").column("id").to_pylist() == ["0", "x", "y"]
    assert not (tmp_path / "out" / "_rejected").exists()


def test_rejected_rows_end_no_job(run: Run, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "a"}, {"text": ""}, ["b"], {"id": 7, "text": "c"}])
    assert run(path) == (0, "")
    assert pq.read_table(tmp_path / "out").column("id").to_pylist() == ["0", "7"]
    lines = (tmp_path / "out" / "_rejected" / "part-00000.jsonl").read_text().splitlines()
    assert [(one["number"], one["place"]) for one in map(json.loads, lines)] == [
        (1, "a.jsonl:2"),
        (2, "a.jsonl:3"),
    ]


def test_an_empty_file_is_a_job_without_rows(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    assert run(tmp_path / "a.jsonl") == (0, "")
    assert not list((tmp_path / "out").glob("part-*"))


def test_a_finished_job_is_resumed_without_any_work(run: Run, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "a"}])
    assert run(path) == (0, "")
    written = (tmp_path / "out" / "part-00000.parquet").stat().st_mtime_ns
    assert run(path, "--resume") == (0, "")
    assert (tmp_path / "out" / "part-00000.parquet").stat().st_mtime_ns == written
