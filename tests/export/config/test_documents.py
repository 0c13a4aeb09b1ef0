"""Documents: any file of a checkpoint is read, or refused in one line."""

import os
from pathlib import Path

import pytest

from app.model import untrusted
from export.config.documents import Document, read_json
from export.errors import ExportError


def test_an_absent_file_reads_as_an_empty_one(tmp_path: Path) -> None:
    assert not Document.read(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"{", "cannot be read: "),
        (b"[1]", "is not a JSON object"),
        (b"[" * 200_000, "cannot be read: it is nested too deeply"),
        (b'{"a":' * 200_000, "cannot be read: it is nested too deeply"),
        (b" " * (untrusted.MOST_JSON + 1), "cannot be read: it is larger than 16 MiB"),
        (b"1" * 10_000, "cannot be read: "),
    ],
)
def test_invalid_documents_are_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ExportError) as caught:
        Document.read(path)
    assert str(caught.value).startswith(f"{path} {fault}")
    assert "\n" not in str(caught.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(ExportError, match="it is not a plain file"):
        read_json(tmp_path / "config.json")


def test_a_tokenizer_may_be_larger(tmp_path: Path) -> None:
    content = b"{" + b" " * untrusted.MOST_JSON + b"}"
    (tmp_path / "tokenizer.json").write_bytes(content)
    assert read_json(tmp_path / "tokenizer.json") == {}
