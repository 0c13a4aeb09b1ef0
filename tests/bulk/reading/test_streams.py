"""Lines of files, plain and compressed, whole and broken."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from app.bulk.reading.streams import PIECE, Stream, uncompressed_suffix
from app.bulk.rows import JobError

LINES = [b"first", b"", "größer".encode(), b"x" * 3 * PIECE, b"last"]


def lines(path: Path, most: int = 10 * PIECE) -> list[bytes | None]:
    return list(Stream(path).lines(most))


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_lines_of_a_plain_file(tmp_path: Path, newline: bytes, end: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(newline.join(LINES) + end)
    assert lines(path) == LINES


def test_lines_of_compressed_files(tmp_path: Path) -> None:
    content = b"\n".join(LINES)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content))
    # As from `cat a.gz b.gz`.
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content[:9]) + gzip.compress(content[9:]))
    with pa.CompressedOutputStream(str(tmp_path / "c.jsonl.zst"), "zstd") as stream:
        stream.write(content)
    for name in ("a.jsonl.gz", "b.jsonl.gz", "c.jsonl.zst"):
        assert lines(tmp_path / name) == LINES, name


def test_a_line_that_is_too_long_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"ab\n" + b"x" * 5 * PIECE + b"\nabcd\nabcde\n" + b"y" * 2 * PIECE)
    assert lines(path, 4) == [b"ab", None, b"abcd", None, None]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    assert lines(tmp_path / "a.jsonl") == []


def test_bytes_read_grow_to_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(LINES)))
    stream = Stream(path)
    assert stream.bytes_read == 0
    assert list(stream.lines(10 * PIECE))
    assert stream.bytes_read == path.stat().st_size


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_a_truncated_file_yields_what_it_holds_and_then_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = b"".join(b"%d\n" % (number * 7919 % 100_003) for number in range(100_000))
    with pa.CompressedOutputStream(str(path), "gzip" if name.endswith("gz") else "zstd") as stream:
        stream.write(content)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found: list[bytes | None] = []
    with pytest.raises(JobError) as raised:
        found.extend(Stream(path).lines(100))
    assert str(raised.value).startswith(f"{path} cannot be read to its end: ")
    assert len(found) > 10_000
    assert found == content.split(b"\n")[: len(found)]


def test_a_file_that_is_not_compressed_as_its_name_says(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(b'{"text": "a"}\n')
    with pytest.raises(JobError, match=r"a\.jsonl\.gz cannot be read to its end"):
        lines(tmp_path / "a.jsonl.gz")


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.jsonl", ".jsonl"), ("a.b.CSV.GZ", ".csv"), ("a.csv.zst", ".csv"), ("a", ""), ("a.gz", "")],
)
def test_suffix_of_what_a_file_holds(name: str, suffix: str) -> None:
    assert uncompressed_suffix(Path(name)) == suffix
