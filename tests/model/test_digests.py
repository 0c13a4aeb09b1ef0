"""Digests: the first file that is not as exported is named."""

import hashlib
import os
from pathlib import Path

import pytest

from app.model.digests import document_digest, fault_of_files, file_digest, is_as_signed, signed


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, str]:
    """Two files, and their digests."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    return {name: hashlib.sha256(name.encode()).hexdigest() for name in ("a", "b")}


def test_files_as_they_were_exported_have_no_fault(
    tmp_path: Path, expected: dict[str, str]
) -> None:
    assert file_digest(tmp_path / "a") == expected["a"]
    assert fault_of_files(tmp_path, expected) is None


def test_a_changed_file_is_named_with_both_digests(
    tmp_path: Path, expected: dict[str, str]
) -> None:
    (tmp_path / "b").write_text("c")
    found = hashlib.sha256(b"c").hexdigest()
    assert fault_of_files(tmp_path, expected) == (
        f"{tmp_path / 'b'} is not the file that was exported (SHA-256 {found[:12]}…, expected "
        f"{expected['b'][:12]}…): export the model again"
    )


def test_a_missing_file_and_a_pipe_are_named(tmp_path: Path, expected: dict[str, str]) -> None:
    (tmp_path / "a").unlink()
    missing = f"{tmp_path / 'a'} cannot be read: No such file or directory"
    assert fault_of_files(tmp_path, expected) == missing
    os.mkfifo(tmp_path / "a")  # opening it would block
    pipe = f"{tmp_path / 'a'} cannot be read: it is not a plain file"
    assert fault_of_files(tmp_path, expected) == pipe


def test_a_document_is_the_same_in_any_order() -> None:
    assert document_digest({"a": 1, "b": [2]}) == document_digest({"b": [2], "a": 1})
    assert document_digest({"a": 1}) != document_digest({"a": 2})


def test_a_signed_document_shows_any_change() -> None:
    document = signed({"a": 1})
    assert is_as_signed(document)
    assert is_as_signed({"a": 2})  # never signed
    assert not is_as_signed(document | {"a": 2})
    assert not is_as_signed(document | {"b": 1})
