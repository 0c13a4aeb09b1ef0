"""JSON Lines as rows."""

from pathlib import Path

import pytest

from app.bulk.reading import json_lines
from app.bulk.reading.json_lines import JsonLines
from app.bulk.rows import Columns, JobError, Rejected, Row


def rows(path: Path, *, may_grow: bool = False) -> list[Row | Rejected]:
    source = JsonLines(path, Columns("text", None), may_grow=may_grow)
    return [
        source.row(record, number, place) for number, (place, record) in enumerate(source.records())
    ]


def test_rows_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"id": "x", "text": "größer"}\n\n  \n{"text": "b"}\n'.encode())
    assert rows(path) == [Row(0, "a.jsonl:1", "x", "größer"), Row(1, "a.jsonl:4", "1", "b")]


@pytest.mark.parametrize(
    "line", [b"{", b'{"text": "\xff"}', b'{"text": "\\ud800"}', b"\xef\xbb\xbf{}"]
)
def test_a_line_that_is_not_json(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(line + b'\n{"text": "b"}\n')
    bad, good = rows(path)
    assert isinstance(bad, Rejected)
    assert bad.reason.startswith("it is not JSON: ")
    assert good == Row(1, "a.jsonl:2", "1", "b")


def test_a_line_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "MOST_LINE_BYTES", 20)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "0123456789"}\n{"text": "b"}\n')
    assert rows(path) == [
        Rejected(0, "a.jsonl:1", None, "it has more than 16,000,000 characters"),
        Row(1, "a.jsonl:2", "1", "b"),
    ]


@pytest.mark.parametrize("line", [b'{"text": "b', b'{"text": "b"', b'{"text": "\xc3', b"   "])
def test_a_last_line_that_is_being_written_is_no_row_yet(
    tmp_path: Path, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + line)
    assert rows(path, may_grow=True) == [Row(0, "a.jsonl:1", "0", "a")]
    told = ["a.jsonl:2 has no line feed and is not JSON: --resume reads it again"]
    assert caplog.messages == (told if line.strip() else [])


def test_a_last_line_that_is_whole_needs_no_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}')
    assert rows(path, may_grow=True) == [Row(0, "a.jsonl:1", "0", "a")]


@pytest.mark.parametrize("line", [b'{"text": "a"\n', b'{"text": "0123456789'])
def test_a_last_line_that_cannot_become_a_row_is_rejected(
    tmp_path: Path, line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "MOST_LINE_BYTES", 15)
    path = tmp_path / "a.jsonl"
    path.write_bytes(line)
    [bad] = rows(path, may_grow=True)
    assert isinstance(bad, Rejected)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none\.jsonl cannot be read: No such file"):
        JsonLines(tmp_path / "none.jsonl", Columns("text", None)).require_columns()
