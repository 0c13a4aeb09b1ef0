"""Unusable inputs and outputs, or partly usable ones: one clear line each, and nothing is lost.

Those that need a running job are in `test_program.py`: a full disk, two jobs on one output.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tools.process import ROOT, variables


def job(
    model: Path, source: Path, *, without_root: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Run a job into `out` beside its input, without root's rights on request."""
    command = [
        *(sys.executable, "-m", "app.bulk", str(source), "--output", str(source.parent / "out")),
        *("--model-id", str(model), "--provider", "cpu", "--log-level", "error"),
    ]
    if without_root and os.geteuid() == 0:  # root may write whatever the file modes say
        command = ["setpriv", "--bounding-set", "-dac_override", "--", *command]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT, env=variables()
    )


def ids_and_rejected(folder: Path) -> tuple[list[str], list[str]]:
    """Return the ids of all vectors, and the reasons of all other rows."""
    ids: list[str] = pq.read_table(folder).column("id").to_pylist()
    lines = (folder / "_rejected" / "part-00000.jsonl").read_text().splitlines()
    return ids, [json.loads(line)["reason"] for line in lines]


def test_a_line_of_100_megabytes(tiny_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    with source.open("w") as file:
        file.write('{"id": "before", "text": "a"}\n{"id": "long", "text": "')
        for _ in range(100):
            file.write("a" * 1_000_000)
        file.write('"}\n{"id": "after", "text": "b"}\n')
    done = job(tiny_model, source)
    assert (done.returncode, done.stderr) == (0, "")
    ids, reasons = ids_and_rejected(tmp_path / "out")
    assert ids == ["before", "after"]
    assert reasons == ["it has more than 16,000,000 characters"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_bytes_that_are_no_utf_8(tiny_model: Path, tmp_path: Path, name: str) -> None:
    rows = [(b"x", b"a"), (b"y", b"\xff"), (b"caf\xe9", b"b"), (b"z", b"c")]
    if name == "a.parquet":
        columns = [pa.array(one, pa.binary()).view(pa.string()) for one in zip(*rows, strict=True)]
        pq.write_table(pa.table(columns, ["id", "text"]), tmp_path / name)
    else:
        line = b'{"id": "%s", "text": "%s"}\n' if name == "a.jsonl" else b"%s,%s\n"
        head = b"" if name == "a.jsonl" else b"id,text\n"
        (tmp_path / name).write_bytes(head + b"".join(line % row for row in rows))
    done = job(tiny_model, tmp_path / name)
    assert (done.returncode, done.stderr) == (0, "")
    ids, reasons = ids_and_rejected(tmp_path / "out")
    assert ids == ["x", "z"]
    assert [("UTF-8" in reason.upper()) for reason in reasons] == [True, True]


def test_parquet_without_the_column(tiny_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["a"], "body": ["b"]}), source)
    done = job(tiny_model, source)
    assert done.returncode == 1
    assert done.stderr == f"Error: {source} has no column `text`: its columns are id, body\n"
    assert not (tmp_path / "out").exists()


def test_gzip_that_breaks_off(tiny_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl.gz"
    with pa.CompressedOutputStream(str(source), "gzip") as stream:
        stream.write(b"".join(b'{"text": "%d"}\n' % number for number in range(5000)))
    source.write_bytes(source.read_bytes()[:-500])
    done = job(tiny_model, source)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {source} cannot be read to its end: ")
    assert done.stderr.count("\n") == 1
    assert pq.read_table(tmp_path / "out").num_rows > 1000  # readable rows are there


def test_a_folder_that_is_read_only(tiny_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "in" / "a.jsonl"
    source.parent.mkdir()
    source.write_text('{"text": "a"}\n')
    out = source.parent / "out"
    out.mkdir(mode=0o555)
    done = job(tiny_model, source, without_root=True)
    assert done.returncode == 1
    assert done.stderr == f"Error: --output {out} cannot be written: Permission denied\n"
    assert not list(out.iterdir())
